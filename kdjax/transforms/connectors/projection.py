"""Connectors that change the number of channels, or the size, of a map."""

import chex
import flax.linen as nn
import jax

from kdjax.transforms.connectors.layers import (
  UNIFORM,
  BatchNorm,
  Convolution,
  TransposedConvolution,
)

# The variance is 2 / width, as in the kernels of the overhaul's code.
_NORMAL = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Projection(nn.Module):
  """A 1x1 convolution with bias: channels to channels.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> jax.eval_shape(Projection(5).init_with_output, key, x)[0].shape
  (2, 8, 8, 5)

  Attributes:
    width: Number of output channels.
  """

  width: int

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, width]`."""
    del mask  # has no batch norm
    return Convolution(self.width, name='projection')(x)


class NormalisedProjection(nn.Module):
  """A 1x1 convolution without bias, then batch norm; no ReLU.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> jax.eval_shape(NormalisedProjection(5).init_with_output, key, x)[0].shape
  (2, 8, 8, 5)

  Attributes:
    width: Number of output channels.
    axis_name: Mapped axis for the batch norm's statistics.
    normal_init: Kernel drawn from a normal distribution of variance
      `2 / width`, as in the overhaul's code; otherwise PyTorch's start.
  """

  width: int
  axis_name: str | None = None
  normal_init: bool = False

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, width]`."""
    init = _NORMAL if self.normal_init else UNIFORM
    x = Convolution(
      self.width, bias=False, kernel_init=init, name='projection'
    )(x)
    return BatchNorm(self.axis_name, name='norm')(x, mask)


class BoundaryConnector(nn.Module):
  """The convolution and batch norm of activation boundaries; no ReLU.

  From a map twice as large a 3x3 convolution of stride 2, from one half as
  large a transposed 4x4 convolution of stride 2, otherwise a valid convolution
  whose kernel just covers the difference in size.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> layer = BoundaryConnector((4, 4, 5))
  >>> jax.eval_shape(layer.init_with_output, key, x)[0].shape
  (2, 4, 4, 5)

  Attributes:
    shape: Height, width and channels of the teacher's map.
    axis_name: Mapped axis for the batch norm's statistics.

  Raises:
    ValueError: if the student's map is smaller than the teacher's otherwise
      than by half.
  """

  shape: tuple[int, int, int]
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, *shape]`."""
    size, (height, width, channels) = x.shape[1:3], self.shape
    layer: nn.Module
    if size == (2 * height, 2 * width):
      layer = Convolution(channels, 3, stride=2, name='connector')
    elif (2 * size[0], 2 * size[1]) == (height, width):
      layer = TransposedConvolution(channels, 4, stride=2, name='connector')
    elif size[0] >= height and size[1] >= width:
      kernel = 1 + size[0] - height, 1 + size[1] - width
      layer = Convolution(channels, kernel, padded=False, name='connector')
    else:
      raise ValueError(
        'student must be as large as the teacher, larger or half as large, '
        f'got {size} for {(height, width)}.'
      )
    return BatchNorm(self.axis_name, name='norm')(layer(x), mask)
