"""ConvNeXt of Liu et al."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.transformer import Norm, gelu, matrix_product

_initial = nn.initializers.truncated_normal(0.02)


class ConvNeXtBlock(nn.Module):
  """Depthwise 7x7 convolution and a perceptron per position, with a shortcut.

  Attributes:
    layer_scale: Initial value of the scale per channel before the sum.
    drop: Share of examples whose branch training drops (stochastic depth), the
      others' is divided by 1 - drop; drawn from the `'dropout'` stream.
    dtype: Dtype of the computation; parameters are float32.
  """

  layer_scale: float = 1e-6
  drop: float = 0.0
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to the same shape."""
    width = x.shape[-1]
    y = nn.Conv(
      width,
      (7, 7),
      padding=((3, 3), (3, 3)),
      feature_group_count=width,
      dtype=self.dtype,
      kernel_init=_initial,
      name='conv',
    )(x)
    y = Norm(self.dtype, name='norm')(y)
    y = gelu(_dense(4 * width, self.dtype, 'hidden')(y))
    y = _dense(width, self.dtype, 'out')(y)
    scale = self.param(
      'layer_scale', nn.initializers.constant(self.layer_scale), (width,)
    )
    y = y * scale.astype(self.dtype).reshape(1, 1, 1, width)
    # One draw for each example.
    drop = nn.Dropout(self.drop, (1, 2, 3), deterministic=not train)
    return x + drop(y)


class ConvNeXtStage(nn.Module):
  """Blocks at one resolution; sows `preactivation`, which is the same map.

  Attributes:
    width: Number of channels.
    drops: Stochastic depth of each block.
    downsample: Whether a norm and a 2x2 convolution of stride 2 come first.
    layer_scale: Passed to every block, see `ConvNeXtBlock`.
    dtype: Dtype of the computation; parameters are float32.
  """

  width: int
  drops: Sequence[float]
  downsample: bool = True
  layer_scale: float = 1e-6
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / 2, w / 2, width]`.

    Without `downsample` the map keeps its size.
    """
    if self.downsample:
      x = Norm(self.dtype, name='norm')(x)
      x = _strided(self.width, 2, self.dtype)(x)
    for i, drop in enumerate(self.drops, start=1):
      block = ConvNeXtBlock(
        self.layer_scale, drop, dtype=self.dtype, name=f'block{i}'
      )
      x = block(x, train)
    self.sow('intermediates', 'preactivation', x)
    return x


class ConvNeXtStem(nn.Module):
  """4x4 convolution of stride 4 and a norm; sows `preactivation`, the same.

  Attributes:
    width: Number of output channels.
    dtype: Dtype of the computation; parameters are float32.
  """

  width: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, channels]` to `[batch, h / 4, w / 4, width]`."""
    x = _strided(self.width, 4, self.dtype)(x)
    x = Norm(self.dtype, name='norm')(x)
    self.sow('intermediates', 'preactivation', x)
    return x


class ConvNeXt(nn.Module):
  """Convolutional network with the blocks of a transformer, for ImageNet.

  The layers are those of `torchvision.models.convnext_tiny`. Rows and columns
  that a convolution with stride does not fill are left out.

  Its taps are `stem` `[batch, h / 4, w / 4, widths[0]]`, `stageN`, N from 1,
  with `widths[N - 1]` channels and a side of 1/4, 1/8, 1/16 and 1/32 of the
  image's, `stageN/blockM` and `embedding` `[batch, widths[-1]]`, the mean over
  positions after the last norm. Stem and stages end without an activation, so
  `stem/preactivation` and `stageN/preactivation` are the same maps.

  GELU is exact, as in the paper's code.

  Attributes:
    blocks: Number of blocks of each stage.
    widths: Channels of each stage; as long as `blocks`.
    classes: Number of logits.
    layer_scale: Initial value of the scale per channel of each block.
    stochastic_depth: Share of examples whose last block training skips; it
      grows linearly from 0 in the first block. The paper has 0.1.
    dtype: Dtype of the computation; parameters and logits are float32.

  Raises:
    ValueError: if `blocks` and `widths` are not equally long,
      `stochastic_depth` is not in [0, 1) or, when called, the image is smaller
      than the last stage's one position: 32x32 with four stages.

  References:
    Liu et al., `A ConvNet for the 2020s <https://arxiv.org/abs/2201.03545>`_,
    2022, section 2.
  """

  blocks: Sequence[int]
  widths: Sequence[int]
  classes: int
  layer_scale: float = 1e-6
  stochastic_depth: float = 0.0
  dtype: chex.ArrayDType = jnp.float32

  def __post_init__(self) -> None:
    if len(self.blocks) != len(self.widths) or not self.blocks:
      raise ValueError(
        f'blocks must have one number per stage, like widths, {self.widths}, '
        f'got {self.blocks}.'
      )
    if not 0.0 <= self.stochastic_depth < 1.0:
      raise ValueError(
        f'stochastic_depth must be in [0, 1), got {self.stochastic_depth}.'
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    least = 2 ** (len(self.blocks) + 1)
    if min(x.shape[1:3]) < least:
      raise ValueError(
        f'images must be at least {least}x{least}, got '
        f'{x.shape[1]}x{x.shape[2]}.'
      )
    x = ConvNeXtStem(self.widths[0], self.dtype, name='stem')(x)
    stages = zip(self.widths, self._drops(), strict=True)
    for i, (width, drops) in enumerate(stages, start=1):
      stage = ConvNeXtStage(
        width, drops, i > 1, self.layer_scale, self.dtype, name=f'stage{i}'
      )
      x = stage(x, train)
    x = Norm(self.dtype, name='norm')(x.mean((1, 2)))
    self.sow('intermediates', 'embedding', x)
    logits = _dense(self.classes, self.dtype, 'head')(x)
    return logits.astype(jnp.float32)

  def _drops(self) -> list[tuple[float, ...]]:
    """The stochastic depth of each block, by stage."""
    last = max(1, sum(self.blocks) - 1)
    found, before = [], 0
    for count in self.blocks:
      numbers = range(before, before + count)
      found.append(tuple(self.stochastic_depth * n / last for n in numbers))
      before += count
    return found


def _strided(width: int, side: int, dtype: chex.ArrayDType) -> nn.Conv:
  """A convolution over squares that do not overlap."""
  return nn.Conv(
    width,
    (side, side),
    strides=side,
    padding='VALID',
    dtype=dtype,
    kernel_init=_initial,
    name='conv',
  )


def _dense(width: int, dtype: chex.ArrayDType, name: str) -> nn.Dense:
  return nn.Dense(
    width,
    dtype=dtype,
    kernel_init=_initial,
    dot_general=matrix_product,
    name=name,
  )
