"""The ImageNet ResNets of He et al., with 18 to 152 layers."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm, ConvStage
from kdjax.models.zoo.resnet import Block

# Blocks of the four stages, and whether these are bottlenecks.
_DEPTHS = {
  18: ((2, 2, 2, 2), False),
  34: ((3, 4, 6, 3), False),
  50: ((3, 4, 6, 3), True),
  101: ((3, 4, 23, 3), True),
  152: ((3, 8, 36, 3), True),
}
_EXPANSION = 4


class Bottleneck(nn.Module):
  """Residual block of a 1x1, a 3x3 and a 1x1 convolution, without last ReLU.

  The stage applies that ReLU, so that a block's tap is its preactivation. The
  3x3 convolution has the stride, as in PyTorch's ResNet v1.5; the paper's
  first 1x1 convolution has it.

  Attributes:
    width: Number of channels of the 3x3 convolution, a fourth of the output's.
    stride: Stride of the 3x3 convolution and the shortcut.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  stride: int = 1
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[..., h / stride, w / stride, 4 width]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    width, last = self.width, _EXPANSION * self.width
    layers = (
      ConvNorm(width, kernel=1, **settings, name='layer1'),
      ConvNorm(width, stride=self.stride, **settings, name='layer2'),
      ConvNorm(last, kernel=1, **settings, name='layer3'),
    )
    y = nn.relu(layers[0](x, train))
    y = nn.relu(layers[1](y, train))
    y = layers[2](y, train)
    if x.shape != y.shape:
      shortcut = ConvNorm(
        last, kernel=1, stride=self.stride, **settings, name='shortcut'
      )
      x = shortcut(x, train)
    return y + x


class BlockStage(nn.Module):
  """Residual blocks at one resolution; sows `preactivation`.

  Attributes:
    width: Number of channels of the 3x3 convolutions.
    blocks: Number of blocks.
    bottleneck: Whether they are bottlenecks or blocks of two convolutions.
    stride: Stride of the first block.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  blocks: int
  bottleneck: bool
  stride: int = 1
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, channels]`.

    There are `width` channels, of bottlenecks four times as many.
    """
    for i in range(1, self.blocks + 1):
      settings = {
        'stride': self.stride if i == 1 else 1,
        'dtype': self.dtype,
        'axis_name': self.axis_name,
        'name': f'block{i}',
      }
      block = (
        Bottleneck(self.width, **settings)
        if self.bottleneck
        else Block(self.width, projection=True, **settings)
      )
      total = block(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x


class ImageNetResNet(nn.Module):
  """Residual network for images of 224 pixels, or of any other size.

  The layers are those of `torchvision.models.resnet18` to `resnet152`.

  Its taps are `stem` `[batch, h / 2, w / 2, 64]` after its ReLU and before the
  pooling, `stageN`, N from 1 to 4, after its last ReLU, with 64, 128, 256 and
  512 channels, of bottlenecks four times as many, and a side of 1/4, 1/8, 1/16
  and 1/32 of the image's; `stem/preactivation` and `stageN/preactivation`
  before that ReLU, `stageN/blockM` (the sum before its ReLU) and `embedding`
  `[batch, channels]`, the mean over positions.

  For small images the stem keeps the resolution and is not pooled, so `stem`
  and `stage1` have the image's side. RepDistiller's CIFAR-100 table has such a
  ResNet-50.

  Attributes:
    depth: Number of layers: 18 or 34, or with bottlenecks 50, 101 or 152.
    classes: Number of logits.
    small_images: Whether the stem is a 3x3 convolution of stride 1 without
      pooling, in place of a 7x7 convolution of stride 2 and pooling.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  Raises:
    ValueError: if `depth` is not one of these.

  References:
    He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, 2015, table 1.
  """

  depth: int
  classes: int
  small_images: bool = False
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def __post_init__(self) -> None:
    if self.depth not in _DEPTHS:
      known = ', '.join(map(str, _DEPTHS))
      raise ValueError(f'depth must be one of {known}, got {self.depth}.')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    blocks, bottleneck = _DEPTHS[self.depth]
    kernel, stride = (3, 1) if self.small_images else (7, 2)
    stem = ConvStage(
      64, 1, kernel=kernel, stride=stride, **settings, name='stem'
    )
    x = stem(x, train)
    if not self.small_images:
      x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    for i, count in enumerate(blocks, start=1):
      stage = BlockStage(
        64 * 2 ** (i - 1),
        count,
        bottleneck,
        stride=1 if i == 1 else 2,
        **settings,
        name=f'stage{i}',
      )
      x = stage(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
