"""The projector of SimKD, which stays with the student."""

import chex
import flax.linen as nn
import jax

from kdjax.losses.feature import maps
from kdjax.transforms.connectors.layers import BatchNorm, Convolution


class SimKDProjector(nn.Module):
  """Bottleneck of 1x1, 3x3 and 1x1 convolutions to the teacher's channels.

  Each without bias, with batch norm and ReLU.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> layer = SimKDProjector(6, size=(4, 4))
  >>> jax.eval_shape(layer.init_with_output, key, x)[0].shape
  (2, 4, 4, 6)

  Attributes:
    channels: Of the teacher's map.
    size: Height and width of the teacher's map; a larger map is average-pooled
      to it before the convolutions. None for a map of any size.
    factor: By which the bottleneck is thinner; 1 to `channels`.
    axis_name: Mapped axis for the batch norms' statistics.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """

  channels: int
  size: tuple[int, int] | None = None
  factor: int = 2
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None, train: bool = False
  ) -> jax.Array:
    """Maps `[batch, h, w, c]`, or `[batch, c]`, to `[batch, h, w, channels]`.

    Args:
      x: The student's map; a vector is a map of one position.
      mask: Shape `[batch]`, zero for padding, or None.
      train: Use the batch's statistics; otherwise the running ones.
    """
    if not 1 <= self.factor <= self.channels:
      raise ValueError(
        f"factor must be 1 to the teacher's channels, {self.channels}, got "
        f'{self.factor}.'
      )
    x = x[:, None, None, :] if x.ndim == 2 else x
    if self.size is not None:
      size = min(x.shape[1], self.size[0]), min(x.shape[2], self.size[1])
      x = x if x.shape[1:3] == size else maps.average_pool(x, size)
    thin = self.channels // self.factor
    layers = ((thin, 1), (thin, 3), (self.channels, 1))
    for i, (width, kernel) in enumerate(layers, start=1):
      x = Convolution(width, kernel, bias=False, name=f'layer{i}')(x)
      x = nn.relu(BatchNorm(self.axis_name, name=f'norm{i}')(x, mask, train))
    return x
