"""Layers that the convolutional networks of this room share."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


def convolution(
  width: int,
  *,
  kernel: int = 3,
  stride: int = 1,
  groups: int = 1,
  bias: bool = False,
  dtype: chex.ArrayDType = jnp.float32,
  name: str | None = None,
) -> nn.Conv:
  """Makes a convolution that maps `[h, w]` to `[h / stride, w / stride]`.

  Kernels come from the normal distribution of He et al., `Delving Deep into
  Rectifiers <https://arxiv.org/abs/1502.01852>`_, 2015, that keeps the variance
  of gradients.

  Args:
    width: Number of output channels.
    kernel: Side of the kernel, odd.
    stride: Stride of the convolution; the size is rounded up.
    groups: Number of groups of channels; divides both numbers of channels.
    bias: Whether a bias is added.
    dtype: Dtype of the computation; parameters are float32.
    name: Name of the module.
  """
  # With stride 2, 'SAME' would pad the far side only, unlike PyTorch.
  border = (kernel // 2, kernel // 2)
  return nn.Conv(
    width,
    (kernel, kernel),
    strides=stride,
    padding=(border, border),
    feature_group_count=groups,
    use_bias=bias,
    dtype=dtype,
    kernel_init=nn.initializers.variance_scaling(2.0, 'fan_out', 'normal'),
    name=name,
  )


def batch_norm(
  axis_name: str | None, *, epsilon: float = 1e-5, name: str | None = None
) -> nn.BatchNorm:
  """Makes a batch norm for `normalise`.

  Statistics decay by 0.9; the running variance is biased, whereas PyTorch keeps
  the unbiased variance.

  Args:
    axis_name: Mapped axis over which training statistics are averaged.
    epsilon: Added to the variance.
    name: Name of the module.
  """
  return nn.BatchNorm(
    momentum=0.9, epsilon=epsilon, axis_name=axis_name, name=name
  )


def normalise(norm: nn.BatchNorm, x: chex.Array, train: bool) -> jax.Array:
  """Applies a batch norm in float32; returns `x`'s dtype."""
  # Linen normalises in float32 for every dtype, and strict promotion requires
  # a float32 input.
  y = norm(x.astype(jnp.float32), use_running_average=not train)
  return y.astype(x.dtype)


class ConvNorm(nn.Module):
  """Convolution, then batch normalisation.

  Attributes:
    width: Number of output channels.
    kernel: Side of the kernel, odd.
    stride: Stride of the convolution.
    groups: Number of groups of channels, each with kernels of its own; as many
      as input channels for a depthwise convolution.
    bias: Whether the convolution has a bias, which training cannot use: the
      normalisation subtracts it.
    epsilon: Added to the variance by batch norm.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  kernel: int = 3
  stride: int = 1
  groups: int = 1
  bias: bool = False
  epsilon: float = 1e-5
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    x = convolution(
      self.width,
      kernel=self.kernel,
      stride=self.stride,
      groups=self.groups,
      bias=self.bias,
      dtype=self.dtype,
      name='conv',
    )(x)
    norm = batch_norm(self.axis_name, epsilon=self.epsilon, name='norm')
    return normalise(norm, x, train)


class ConvStage(nn.Module):
  """Convolutions, each with batch norm and activation; sows `preactivation`.

  Attributes:
    width: Number of channels of every convolution.
    convolutions: Number of convolutions.
    kernel: Side of every kernel, odd.
    stride: Stride of the first convolution.
    bias: Whether the convolutions have biases.
    activation: Applied after every batch norm.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  convolutions: int
  kernel: int = 3
  stride: int = 1
  bias: bool = False
  activation: Callable[[jax.Array], jax.Array] = nn.relu
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    for i in range(1, self.convolutions + 1):
      layer = ConvNorm(
        self.width,
        kernel=self.kernel,
        stride=self.stride if i == 1 else 1,
        bias=self.bias,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'layer{i}',
      )
      total = layer(x, train)
      x = self.activation(total)
    self.sow('intermediates', 'preactivation', total)
    return x
