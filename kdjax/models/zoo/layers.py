"""Layers that the convolutional networks of this room share."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


class ConvNorm(nn.Module):
  """Convolution without bias, then batch normalisation.

  Kernels come from the normal distribution of He et al., `Delving Deep into
  Rectifiers <https://arxiv.org/abs/1502.01852>`_, 2015, that keeps the variance
  of gradients. Statistics decay by 0.9; the running variance is biased, whereas
  PyTorch keeps the unbiased variance.

  Attributes:
    width: Number of output channels.
    kernel: Side of the kernel, odd.
    stride: Stride of the convolution.
    groups: Number of groups of channels, each with kernels of its own; as many
      as input channels for a depthwise convolution.
    epsilon: Added to the variance by batch norm.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  kernel: int = 3
  stride: int = 1
  groups: int = 1
  epsilon: float = 1e-5
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    # With stride 2, 'SAME' would pad the far side only, unlike PyTorch.
    border = (self.kernel // 2, self.kernel // 2)
    x = nn.Conv(
      self.width,
      (self.kernel, self.kernel),
      strides=self.stride,
      padding=(border, border),
      feature_group_count=self.groups,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=nn.initializers.variance_scaling(2.0, 'fan_out', 'normal'),
      name='conv',
    )(x)
    # Linen normalises in float32 for every dtype, and strict promotion requires
    # a float32 input.
    x = nn.BatchNorm(
      use_running_average=not train,
      momentum=0.9,
      epsilon=self.epsilon,
      axis_name=self.axis_name,
      name='norm',
    )(x.astype(jnp.float32))
    return x.astype(self.dtype)


class ConvStage(nn.Module):
  """Convolutions, each with batch norm and ReLU; sows `preactivation`.

  Attributes:
    width: Number of channels of every convolution.
    convolutions: Number of convolutions.
    kernel: Side of the kernels, odd.
    stride: Stride of the first convolution.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  convolutions: int
  kernel: int = 3
  stride: int = 1
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
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'layer{i}',
      )
      total = layer(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x
