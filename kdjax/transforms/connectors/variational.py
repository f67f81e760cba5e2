"""The Gaussian of variational information distillation."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.losses.feature.variational import initial_log_scale
from kdjax.transforms.connectors.layers import Convolution


class VariationalRegressor(nn.Module):
  """Mean and log scale of the teacher's map given the student's.

  Three 1x1 convolutions without bias, with ReLU between them.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 3))
  >>> layer = VariationalRegressor(5, 4)
  >>> mean, log_scale = jax.eval_shape(layer.init_with_output, key, x)[0]
  >>> mean.shape, log_scale.shape
  ((2, 4, 4, 5), (5,))

  Attributes:
    channels: Of the teacher's map.
    width: Channels between the convolutions.
    variance: That the log scales start from.
    eps: The least variance.

  References:
    Ahn et al., `Variational Information Distillation for Knowledge Transfer
    <https://arxiv.org/abs/1904.05835>`_, 2019, section 2.
  """

  channels: int
  width: int
  variance: float = 5.0
  eps: float = 1e-5

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> tuple[jax.Array, jax.Array]:
    """Maps `[batch, h, w, c]` to `[batch, h, w, channels]`, `[channels]`."""
    del mask  # has no batch norm
    widths = (self.width, self.width, self.channels)
    for i, width in enumerate(widths, start=1):
      x = Convolution(width, bias=False, name=f'layer{i}')(x)
      x = nn.relu(x) if i < len(widths) else x
    start = initial_log_scale(self.variance, eps=self.eps)

    def init(key, shape, dtype):
      del key
      return jnp.full(shape, start, dtype)

    return x, self.param('log_scale', init, (self.channels,), x.dtype)
