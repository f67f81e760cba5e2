"""ShuffleNet V1 and V2 for small images."""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm, ConvStage

_STEM = 24


def channel_shuffle(x: chex.Array, groups: int) -> jax.Array:
  """Interleaves groups of channels: the first of each, the second of each, ...

  Args:
    x: Feature map, `[batch, height, width, channels]`.
    groups: Number of groups; divides `channels`.
  """
  parts = x.reshape(*x.shape[:-1], groups, -1)
  return parts.swapaxes(-1, -2).reshape(x.shape)


class GroupBlock(nn.Module):
  """Block of ShuffleNet V1, without its last ReLU.

  With stride 2 the pooled input is appended to the channels, otherwise the
  input is added.

  Attributes:
    width: Number of output channels.
    stride: Stride of the depthwise convolution, 1 or 2.
    groups: Number of groups of the 1x1 convolutions.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  stride: int = 1
  groups: int = 3
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    width = self.width - x.shape[-1] if self.stride > 1 else self.width
    inner = width // 4
    # The paper does not group the few channels of the stem.
    groups = 1 if x.shape[-1] == _STEM else self.groups
    first = ConvNorm(inner, kernel=1, groups=groups, **settings, name='layer1')
    y = channel_shuffle(nn.relu(first(x, train)), groups)
    depthwise = ConvNorm(
      inner, stride=self.stride, groups=inner, **settings, name='layer2'
    )
    # The paper has no ReLU here; RepDistiller has.
    y = nn.relu(depthwise(y, train))
    last = ConvNorm(
      width, kernel=1, groups=self.groups, **settings, name='layer3'
    )
    y = last(y, train)
    if self.stride == 1:
      return x + y
    return jnp.concatenate([y, _halve(x)], -1)


def _halve(x: chex.Array) -> jax.Array:
  """Mean over 3x3 pixels with stride 2; zeros around the map count."""
  border = (1, 1)
  # `nn.avg_pool` divides by an integer array, which strict promotion refuses.
  total = nn.pool(x, 0.0, jax.lax.add, (3, 3), (2, 2), (border, border))
  return total / 9.0


class SplitBlock(nn.Module):
  """Block of ShuffleNet V2, without its last ReLU.

  With stride 1 the first half of the channels passes unchanged, and the second
  half is convolved; with stride 2 both halves are convolutions of the whole
  input. Then the halves are interleaved.

  Attributes:
    width: Number of output channels.
    stride: Stride of the depthwise convolutions, 1 or 2.
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
    half = self.width // 2
    if self.stride == 1:
      # A ReLU leaves these as they are: they come from one.
      first, x = x[..., :half], x[..., half:]
    else:
      first = self._depthwise(x, 'shortcut1', train)
      first = self._pointwise(first, 'shortcut2', train)
    y = nn.relu(self._pointwise(x, 'layer1', train))
    y = self._depthwise(y, 'layer2', train)
    y = self._pointwise(y, 'layer3', train)
    return channel_shuffle(jnp.concatenate([first, y], -1), 2)

  def _pointwise(self, x: chex.Array, name: str, train: bool) -> jax.Array:
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name, 'name': name}
    return ConvNorm(self.width // 2, kernel=1, **settings)(x, train)

  def _depthwise(self, x: chex.Array, name: str, train: bool) -> jax.Array:
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name, 'name': name}
    channels = x.shape[-1]
    layer = ConvNorm(channels, stride=self.stride, groups=channels, **settings)
    return layer(x, train)


class Stage(nn.Module):
  """Blocks at one resolution, the first of stride 2; sows `preactivation`.

  Attributes:
    block: `GroupBlock` or `SplitBlock`.
    width: Number of channels.
    blocks: Number of blocks.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  block: Callable[..., nn.Module]
  width: int
  blocks: int
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / 2, w / 2, width]`."""
    for i in range(1, self.blocks + 1):
      block = self.block(
        self.width,
        stride=2 if i == 1 else 1,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'block{i}',
      )
      total = block(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x


class ShuffleNet(nn.Module):
  """ShuffleNet for small images, of any size.

  The networks are RepDistiller's: the stem is a 1x1 convolution of stride 1
  without pooling, so 32x32 images reach the last stage as 4x4 maps.

  Its taps are `stem`, `stage1`, `stage2` and `stage3` `[batch, h, w, channels]`
  after their last ReLU, `stem/preactivation` and `stageN/preactivation` before
  that ReLU, `stageN/blockM` (before its ReLU) and `embedding`, the mean over
  positions of `features` if there is a last convolution, otherwise of `stage3`.
  `features/preactivation` is `features` before its ReLU.

  The channels of V2's pre-activations are interleaved as those of the stages
  are, so that `stageN` is the ReLU of `stageN/preactivation`; RepDistiller's
  have the same values before `channel_shuffle`.

  Attributes:
    block: `GroupBlock` for V1, `SplitBlock` for V2.
    widths: Channels of the three stages; 240, 480 and 960 of V1 with 3 groups,
      116, 232 and 464 of V2.
    classes: Number of logits.
    blocks: Number of blocks of each stage.
    features: Channels of a last 1x1 convolution: 1024 of V2; V1 has none.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  References:
    Zhang et al., `ShuffleNet: An Extremely Efficient Convolutional Neural
    Network for Mobile Devices <https://arxiv.org/abs/1707.01083>`_, 2018; Ma et
    al., `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
    Design <https://arxiv.org/abs/1807.11164>`_, 2018.
  """

  block: Callable[..., nn.Module]
  widths: Sequence[int]
  classes: int
  blocks: Sequence[int] = (4, 8, 4)
  features: int | None = None
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    x = ConvStage(_STEM, 1, kernel=1, **settings, name='stem')(x, train)
    stages = zip(self.widths, self.blocks, strict=True)
    for i, (width, blocks) in enumerate(stages, start=1):
      stage = Stage(self.block, width, blocks, **settings, name=f'stage{i}')
      x = stage(x, train)
    if self.features is not None:
      last = ConvStage(self.features, 1, kernel=1, **settings, name='features')
      x = last(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
