"""The projector of SimKD, which stays with the student."""

import chex
import flax.linen as nn
import jax

from kdjax.transforms.connectors.layers import BatchNorm, Convolution


class SimKDProjector(nn.Module):
  """Bottleneck of 1x1, 3x3 and 1x1 convolutions to the teacher's channels.

  Each without bias, with batch norm and ReLU.

  Attributes:
    channels: Of the teacher's map.
    factor: By which the bottleneck is thinner.
    axis_name: Mapped axis for the batch norms' statistics.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """

  channels: int
  factor: int = 2
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None, train: bool = False
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, channels]`.

    Args:
      x: The student's map.
      mask: Shape `[batch]`, zero for padding, or None.
      train: Use the batch's statistics; otherwise the running ones.
    """
    thin = self.channels // self.factor
    layers = ((thin, 1), (thin, 3), (self.channels, 1))
    for i, (width, kernel) in enumerate(layers, start=1):
      x = Convolution(width, kernel, bias=False, name=f'layer{i}')(x)
      x = nn.relu(BatchNorm(self.axis_name, name=f'norm{i}')(x, mask, train))
    return x
