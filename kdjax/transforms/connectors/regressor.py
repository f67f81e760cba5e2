"""The regressor of FitNets' hints."""

import chex
import flax.linen as nn
import jax

from kdjax.losses import numerics
from kdjax.transforms.connectors.layers import BatchNorm


class Regressor(nn.Module):
  """FitNets' regressor from the guided layer to the shape of the hint layer.

  Maps go through one valid convolution whose kernel just covers the difference
  in size, `1 + height - hint_height` (equation 3 of the paper); a smaller map
  is first enlarged bilinearly. Vectors and tokens go through a dense layer.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> jax.eval_shape(Regressor((6, 6, 5)).init_with_output, key, x)[0].shape
  (2, 6, 6, 5)

  Attributes:
    shape: Shape of the hint without the batch, `[..., channels]`.
    batch_norm: Batch norm before the ReLU, as in benchmark codebases.
    axis_name: Mapped axis for the batch norm's statistics.

  References:
    Romero et al., `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, 2015, section 2.2.
  """

  shape: tuple[int, ...]
  batch_norm: bool = False
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> jax.Array:
    """Maps `[batch, ..., student_channels]` to `[batch, *shape]`.

    Args:
      x: The guided layer.
      mask: Shape `[batch]`, zero for padding, which the batch norm leaves out;
        or None.
    """
    # The regressor is part of the loss and computes as losses do.
    x = numerics.at_least_float32(x)
    if x.ndim == 4:
      height, width = self.shape[:2]
      enlarged = max(x.shape[1], height), max(x.shape[2], width)
      if enlarged != x.shape[1:3]:
        size = (x.shape[0], *enlarged, x.shape[3])
        x = jax.image.resize(x, size, 'bilinear')
      kernel = 1 + x.shape[1] - height, 1 + x.shape[2] - width
      x = nn.Conv(self.shape[-1], kernel, padding='VALID', param_dtype=x.dtype)(
        x
      )
    else:
      x = nn.Dense(self.shape[-1], param_dtype=x.dtype)(x)
    if self.batch_norm:
      x = BatchNorm(self.axis_name)(x, mask)
    return nn.relu(x)
