"""MobileNetV1 of Howard et al., for ImageNet."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm, ConvStage

# Output channels and stride of the blocks of each stage.
_STAGES = (
  ((64, 1), (128, 2), (128, 1)),
  ((256, 2), (256, 1)),
  ((512, 2), *5 * ((512, 1),)),
  ((1024, 2), (1024, 1)),
)


class SeparableBlock(nn.Module):
  """Depthwise 3x3 and 1x1 convolution with batch norm, without last ReLU.

  The stage applies that ReLU, so that a block's tap is its preactivation.

  Attributes:
    width: Number of output channels.
    stride: Stride of the depthwise convolution.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  stride: int = 1
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    depthwise = ConvNorm(
      x.shape[-1],
      stride=self.stride,
      groups=x.shape[-1],
      **settings,
      name='layer1',
    )
    x = nn.relu(depthwise(x, train))
    return ConvNorm(self.width, kernel=1, **settings, name='layer2')(x, train)


class SeparableStage(nn.Module):
  """Separable blocks up to the next change of resolution; sows `preactivation`.

  Attributes:
    blocks: Output channels and stride of each block.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  blocks: tuple[tuple[int, int], ...]
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to the last block's output after its ReLU."""
    for i, (width, stride) in enumerate(self.blocks, start=1):
      block = SeparableBlock(
        width,
        stride=stride,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'block{i}',
      )
      total = block(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x


class MobileNetV1(nn.Module):
  """MobileNetV1 at its full width, the student of ResNet-50 on ImageNet.

  Its four stages have the resolutions of ResNet-50's. Its taps are `stem`
  `[batch, h / 2, w / 2, 32]`, `stageN`, N from 1 to 4, after its last ReLU,
  with 128, 256, 512 and 1024 channels and a side of 1/4, 1/8, 1/16 and 1/32 of
  the image's; `stem/preactivation` and `stageN/preactivation` before that ReLU,
  `stageN/blockM` (also before its ReLU) and `embedding` `[batch, 1024]`, the
  mean over positions. Stage 1 begins with a block at half the image's side.

  Attributes:
    classes: Number of logits.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  References:
    Howard et al., `MobileNets: Efficient Convolutional Neural Networks for
    Mobile Vision Applications <https://arxiv.org/abs/1704.04861>`_, 2017,
    table 1.
  """

  classes: int
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    x = ConvStage(32, 1, stride=2, **settings, name='stem')(x, train)
    for i, blocks in enumerate(_STAGES, start=1):
      x = SeparableStage(blocks, **settings, name=f'stage{i}')(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
