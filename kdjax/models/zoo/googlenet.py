"""GoogLeNet of Szegedy et al., with batch norm and without auxiliary heads."""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm

# PyTorch's GoogLeNet has it; its other networks have 1e-5.
_EPSILON = 1e-3


class Widths(NamedTuple):
  """Channels of an inception block.

  Attributes:
    branch1: Of the 1x1 convolution.
    branch2: Of the 1x1 and the 3x3 convolution of the second branch.
    branch3: Likewise of the third.
    branch4: Of the 1x1 convolution after the pooling.
  """

  branch1: int
  branch2: tuple[int, int]
  branch3: tuple[int, int]
  branch4: int


_STAGES = (
  (
    Widths(64, (96, 128), (16, 32), 32),
    Widths(128, (128, 192), (32, 96), 64),
  ),
  (
    Widths(192, (96, 208), (16, 48), 64),
    Widths(160, (112, 224), (24, 64), 64),
    Widths(128, (128, 256), (24, 64), 64),
    Widths(112, (144, 288), (32, 64), 64),
    Widths(256, (160, 320), (32, 128), 128),
  ),
  (
    Widths(256, (160, 320), (32, 128), 128),
    Widths(384, (192, 384), (48, 128), 128),
  ),
)


class Branch(nn.Module):
  """Convolutions with batch norm, and ReLUs between them, not after the last.

  Attributes:
    widths: Channels of each convolution.
    kernels: Side of the kernel of each.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  widths: Sequence[int]
  kernels: Sequence[int]
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, widths[-1]]`."""
    layers = zip(self.widths, self.kernels, strict=True)
    for i, (width, kernel) in enumerate(layers, start=1):
      layer = ConvNorm(
        width,
        kernel=kernel,
        epsilon=_EPSILON,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'layer{i}',
      )
      x = layer(x if i == 1 else nn.relu(x), train)
    return x


class Inception(nn.Module):
  """Four branches, side by side in the channels, without their last ReLUs.

  The stage applies that ReLU, so that a block's tap is its preactivation.

  Attributes:
    widths: Channels.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  widths: Widths
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to the branches, `[batch, h, w, channels]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    first, second, third, fourth = self.widths
    pooled = nn.max_pool(x, (3, 3), padding=((1, 1), (1, 1)))
    parts = [
      Branch((first,), (1,), **settings, name='branch1')(x, train),
      Branch(second, (1, 3), **settings, name='branch2')(x, train),
      # A 5x5 convolution in the paper, 3x3 in PyTorch's weights.
      Branch(third, (1, 3), **settings, name='branch3')(x, train),
      Branch((fourth,), (1,), **settings, name='branch4')(pooled, train),
    ]
    return jnp.concatenate(parts, -1)


class InceptionStage(nn.Module):
  """Inception blocks at one resolution; sows `preactivation`.

  Attributes:
    blocks: Channels of each block.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  blocks: Sequence[Widths]
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, channels]`, after a ReLU."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    for i, widths in enumerate(self.blocks, start=1):
      total = Inception(widths, **settings, name=f'block{i}')(x, train)
      x = nn.relu(total)
    self.sow('intermediates', 'preactivation', total)
    return x


class Stem(nn.Module):
  """The three convolutions before the inception blocks; sows `preactivation`.

  Attributes:
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / 4, w / 4, 192]`."""
    settings = {
      'epsilon': _EPSILON,
      'dtype': self.dtype,
      'axis_name': self.axis_name,
    }
    layer = ConvNorm(64, kernel=7, stride=2, **settings, name='layer1')
    x = halved(nn.relu(layer(x, train)), 3)
    layer = ConvNorm(64, kernel=1, **settings, name='layer2')
    x = nn.relu(layer(x, train))
    total = ConvNorm(192, **settings, name='layer3')(x, train)
    self.sow('intermediates', 'preactivation', total)
    return nn.relu(total)


class GoogLeNet(nn.Module):
  """GoogLeNet, also called Inception v1, for images of any size.

  The layers are those of `torchvision.models.googlenet`, without the auxiliary
  heads, and without the scaling of images that it has with its own weights.

  Its taps are `stem` `[batch, h / 4, w / 4, 192]` after its last ReLU and
  before the pooling, `stageN`, N from 1 to 3, the inception blocks between two
  poolings, after their ReLU, with 480, 832 and 1024 channels and a side of 1/8,
  1/16 and 1/32 of the image's; `stem/preactivation` and `stageN/preactivation`
  before that ReLU, `stageN/blockM` (also before its ReLU) and `embedding`
  `[batch, 1024]`, the mean over positions before dropout.

  Attributes:
    classes: Number of logits.
    dropout: Share of the embedding that training drops, drawn from the
      `'dropout'` stream; PyTorch has 0.2, the paper 0.4.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  Raises:
    ValueError: if `dropout` is not in [0, 1).

  References:
    Szegedy et al., `Going Deeper with Convolutions
    <https://arxiv.org/abs/1409.4842>`_, 2014, table 1.
  """

  classes: int
  dropout: float = 0.0
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def __post_init__(self) -> None:
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f'dropout must be in [0, 1), got {self.dropout}.')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    x = Stem(**settings, name='stem')(x, train)
    for i, blocks in enumerate(_STAGES, start=1):
      # The last pooling has a smaller window.
      x = halved(x, 2 if i == 3 else 3)
      x = InceptionStage(blocks, **settings, name=f'stage{i}')(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)


def halved(x: chex.Array, side: int) -> jax.Array:
  """Max-pools with stride 2; the last window may reach over the far edge.

  PyTorch calls that `ceil_mode`.

  >>> halved(jnp.arange(4.0).reshape(1, 4, 1, 1), 3).ravel().tolist()
  [2.0, 3.0]

  Args:
    x: Feature map, `[batch, height, width, channels]`.
    side: Side of the window.
  """
  padding = []
  for length in x.shape[1:3]:
    steps = max(0, -(-(length - side) // 2))
    padding.append((0, 2 * steps + side - length))
  return nn.max_pool(x, (side, side), strides=(2, 2), padding=padding)
