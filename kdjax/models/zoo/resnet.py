"""The CIFAR ResNets of He et al., with 6n + 2 layers."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm, ConvStage


def pad_shortcut(x: chex.Array, width: int, *, stride: int) -> jax.Array:
  """Computes the shortcut without parameters, option A of the paper.

  Args:
    x: Feature map, `[batch, height, width, channels]`.
    width: Number of channels of the result, at least as many as in `x`.
    stride: Every `stride`-th row and column is kept, from the first on.

  Returns:
    The thinned map. Its new channels are zero, half of them before the old
    channels and half after. The paper does not fix this order; it is the usual
    choice.
  """
  x = x[:, ::stride, ::stride]
  extra = width - x.shape[-1]
  return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (extra // 2, extra - extra // 2)))


class Block(nn.Module):
  """Residual block of two convolutions, without its last ReLU.

  The stage applies that ReLU, so that a block's tap is its preactivation.

  Attributes:
    width: Number of output channels.
    stride: Stride of the first convolution and the shortcut.
    projection: Whether a shortcut between maps of different shapes is a 1x1
      convolution with batch norm (option B) or `pad_shortcut` (option A).
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  stride: int = 1
  projection: bool = False
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    first = ConvNorm(self.width, stride=self.stride, **settings, name='layer1')
    y = nn.relu(first(x, train))
    y = ConvNorm(self.width, **settings, name='layer2')(y, train)
    if x.shape == y.shape:
      shortcut = x
    elif self.projection:
      shortcut = ConvNorm(
        self.width,
        kernel=1,
        stride=self.stride,
        **settings,
        name='shortcut',
      )(x, train)
    else:
      shortcut = pad_shortcut(x, self.width, stride=self.stride)
    return y + shortcut


class Stage(nn.Module):
  """Residual blocks at one resolution; sows `preactivation`.

  Attributes:
    width: Number of channels.
    blocks: Number of blocks.
    stride: Stride of the first block.
    projection: Passed to every block, see `Block`.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  blocks: int
  stride: int = 1
  projection: bool = False
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    for i in range(1, self.blocks + 1):
      block = Block(
        self.width,
        stride=self.stride if i == 1 else 1,
        projection=self.projection,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'block{i}',
      )
      total = block(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x


class ResNet(nn.Module):
  """Residual network for small images, of any size.

  Its taps are `stem`, `stage1`, `stage2` and `stage3` `[batch, h, w, channels]`
  after their last ReLU, `stem/preactivation` and `stageN/preactivation` before
  that ReLU, `stageN/blockM` (the sum before its ReLU) and `embedding`
  `[batch, widths[-1]]`, the mean over positions.

  Attributes:
    depth: Number of layers, 6n + 2: 20, 32, 44, 56 and 110 in the paper.
    classes: Number of logits.
    projection: Whether the shortcuts between maps of different shapes are 1x1
      convolutions with batch norm (option B) or have no parameters (option A,
      the paper's choice). RepDistiller's CIFAR-100 ResNets use option B.
    widths: Channels of the three stages.
    stem_width: Channels of the stem; None takes those of the first stage.
      RepDistiller's `resnet8x4` and `resnet32x4` have 32 before 64.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  Raises:
    ValueError: if `depth` is not 6n + 2 with a positive n.

  References:
    He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, 2015, section 4.2.
  """

  depth: int
  classes: int
  projection: bool = False
  widths: Sequence[int] = (16, 32, 64)
  stem_width: int | None = None
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def __post_init__(self) -> None:
    if self.depth < 8 or self.depth % 6 != 2:
      raise ValueError(
        f'depth must be 6n + 2 with a positive n, got {self.depth}.'
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    stem = self.stem_width or self.widths[0]
    x = ConvStage(stem, 1, **settings, name='stem')(x, train)
    for i, width in enumerate(self.widths, start=1):
      stage = Stage(
        width,
        blocks=(self.depth - 2) // 6,
        stride=1 if i == 1 else 2,
        projection=self.projection,
        **settings,
        name=f'stage{i}',
      )
      x = stage(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
