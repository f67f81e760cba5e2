"""The parts of connectors: convolutions and a masked batch norm.

Convolutions start as PyTorch's do, in which the connectors were published:
kernel and bias uniform within `1 / sqrt(fan_in)`.
"""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.losses import numerics

# Uniform within 1 / sqrt(fan_in) has the variance 1 / (3 fan_in).
UNIFORM = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
# PyTorch counts the fan-in of a transposed convolution along its outputs.
_UNIFORM_TRANSPOSED = nn.initializers.variance_scaling(
  1 / 3, 'fan_out', 'uniform'
)


def _uniform_bias(fan_in: int) -> nn.initializers.Initializer:
  """Uniform within `1 / sqrt(fan_in)`."""
  bound = fan_in**-0.5

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


class Convolution(nn.Module):
  """Convolution of side `kernel`, padded by half of it; computes as losses do.

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> layer = Convolution(5, 3, stride=2)
  >>> jax.eval_shape(layer.init_with_output, key, x)[0].shape
  (2, 4, 4, 5)

  Attributes:
    width: Number of output channels.
    kernel: Side of the kernel, or its height and width.
    stride: Of the convolution.
    padded: Pad by half the kernel on either side; False for a valid one.
    bias: Whether there is a bias.
    kernel_init: Of the kernel.
  """

  width: int
  kernel: int | tuple[int, int] = 1
  stride: int = 1
  padded: bool = True
  bias: bool = True
  kernel_init: nn.initializers.Initializer = UNIFORM

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    x = numerics.at_least_float32(x)
    kernel = self.kernel
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple((k // 2, k // 2) if self.padded else (0, 0) for k in kernel)
    return nn.Conv(
      self.width,
      kernel,
      strides=self.stride,
      padding=padding,
      use_bias=self.bias,
      kernel_init=self.kernel_init,
      bias_init=_uniform_bias(kernel[0] * kernel[1] * x.shape[-1]),
      param_dtype=x.dtype,
      name='conv',
    )(x)


class TransposedConvolution(nn.Module):
  """Transposed convolution that multiplies the size by `stride`, with bias.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 3))
  >>> layer = TransposedConvolution(5, 4, stride=2)
  >>> jax.eval_shape(layer.init_with_output, key, x)[0].shape
  (2, 8, 8, 5)

  Attributes:
    width: Number of output channels.
    kernel: Side of the kernel.
    stride: Factor of the size.
  """

  width: int
  kernel: int = 3
  stride: int = 1

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h * stride, w * stride, width]`."""
    x = numerics.at_least_float32(x)
    return nn.ConvTranspose(
      self.width,
      (self.kernel, self.kernel),
      strides=(self.stride, self.stride),
      padding='SAME',
      kernel_init=_UNIFORM_TRANSPOSED,
      bias_init=_uniform_bias(self.kernel**2 * self.width),
      param_dtype=x.dtype,
      name='conv',
    )(x)


class Dense(nn.Module):
  """Dense layer along the last axis, started as PyTorch's.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 3))
  >>> jax.eval_shape(Dense(5).init_with_output, key, x)[0].shape
  (2, 4, 5)

  Attributes:
    width: Number of outputs.
  """

  width: int

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[..., dim]` to `[..., width]`."""
    x = numerics.at_least_float32(x)
    return nn.Dense(
      self.width,
      kernel_init=UNIFORM,
      bias_init=_uniform_bias(x.shape[-1]),
      param_dtype=x.dtype,
      name='dense',
    )(x)


class BatchNorm(nn.Module):
  """Batch normalisation whose statistics leave padding out.

  Otherwise `flax.linen.BatchNorm`, with the same names of variables.

  >>> x = jnp.array([[1.0], [3.0], [jnp.nan]])
  >>> mask = jnp.array([1, 1, 0])
  >>> y, _ = BatchNorm(epsilon=0.0).init_with_output(jax.random.key(0), x, mask)
  >>> print(y[:2, 0])
  [-1.  1.]

  Attributes:
    axis_name: Mapped axis over which the statistics are taken; None for each
      device's own examples.
    momentum: Decay of the running statistics.
    epsilon: Added to the variance.
  """

  axis_name: str | None = None
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None, train: bool = True
  ) -> jax.Array:
    """Normalises the last axis.

    Args:
      x: Shape `[batch, ..., channels]`.
      mask: Shape `[batch]`, zero for padding, or None.
      train: Use the batch's statistics and update the running ones; otherwise
        the running ones.
    """
    channels = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, channels, x.dtype)
    bias = self.param('bias', nn.initializers.zeros, channels, x.dtype)
    running = [
      self.variable('batch_stats', name, init, channels, x.dtype)
      for name, init in (('mean', jnp.zeros), ('var', jnp.ones))
    ]
    if train:
      statistics = self._statistics(x, mask)
      if not self.is_initializing():
        for variable, new in zip(running, statistics, strict=True):
          old = variable.value
          variable.value = self.momentum * old + (1 - self.momentum) * new
    else:
      statistics = tuple(variable.value for variable in running)
    mean, variance, scale, bias = (
      a.reshape((1,) * (x.ndim - 1) + channels)
      for a in (*statistics, scale, bias)
    )
    factor = scale * jax.lax.rsqrt(variance + self.epsilon)
    return (x - mean) * factor + bias

  def _statistics(self, x: chex.Array, mask: chex.Array | None) -> tuple:
    """Mean and biased variance of each channel."""
    axis_name = None if self.is_initializing() else self.axis_name
    valid = numerics.valid_rows(x, mask)
    keep = valid.reshape(-1, *(1,) * (x.ndim - 1))
    positions = x[0].size // x.shape[-1]

    def total(values):
      return jax.lax.psum(values, axis_name) if axis_name else values

    count = jnp.maximum(total(jnp.sum(valid)) * positions, 1).astype(x.dtype)

    def mean(values):
      # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
      values = jnp.where(keep, values, 0).reshape(-1, x.shape[-1])
      return total(jnp.sum(values, axis=0)) / count

    centre = mean(x)
    centred = x - centre.reshape((1,) * (x.ndim - 1) + centre.shape)
    return centre, mean(jnp.square(jnp.where(keep, centred, 0)))
