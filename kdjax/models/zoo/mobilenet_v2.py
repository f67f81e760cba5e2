"""MobileNetV2, for ImageNet and for small images."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvNorm, ConvStage

# Table 2 of the paper, by stage: rows of expansion, channels and blocks.
_ROWS = (
  ((1, 16, 1), (6, 24, 2)),
  ((6, 32, 3),),
  ((6, 64, 4), (6, 96, 3)),
  ((6, 160, 3), (6, 320, 1)),
)


class Shape(NamedTuple):
  """The shape of an inverted residual.

  Attributes:
    width: Number of output channels.
    expansion: Number of inner channels per input channel.
    stride: Stride of the depthwise convolution.
  """

  width: int
  expansion: int
  stride: int


class InvertedResidual(nn.Module):
  """A wide depthwise convolution between two 1x1 convolutions.

  The last convolution, `layer3`, has no activation, nor has the sum with the
  input, which is added if it has the same shape.

  Attributes:
    shape: Channels and stride.
    expand: Whether there is a first 1x1 convolution, `layer1`, although it
      would not add channels.
    activation: Applied after `layer1` and the depthwise `layer2`.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  shape: Shape
  expand: bool = False
  activation: Callable[[jax.Array], jax.Array] = nn.relu6
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`."""
    width, expansion, stride = self.shape
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    inner = x.shape[-1] * expansion
    y = x
    if self.expand or expansion != 1:
      first = ConvNorm(inner, kernel=1, **settings, name='layer1')
      y = self.activation(first(y, train))
    depthwise = ConvNorm(
      inner, stride=stride, groups=inner, **settings, name='layer2'
    )
    y = self.activation(depthwise(y, train))
    y = ConvNorm(width, kernel=1, **settings, name='layer3')(y, train)
    return x + y if x.shape == y.shape else y


class Stage(nn.Module):
  """Inverted residuals; sows `preactivation`, which equals the output.

  Attributes:
    shapes: Shapes of the blocks.
    expand: Passed to every block, see `InvertedResidual`.
    activation: Passed to every block.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  shapes: Sequence[Shape]
  expand: bool = False
  activation: Callable[[jax.Array], jax.Array] = nn.relu6
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to the last block's map."""
    for i, shape in enumerate(self.shapes, start=1):
      block = InvertedResidual(
        shape,
        self.expand,
        self.activation,
        self.dtype,
        self.axis_name,
        name=f'block{i}',
      )
      x = block(x, train)
    self.sow('intermediates', 'preactivation', x)
    return x


class MobileNetV2(nn.Module):
  """MobileNetV2; by default for images of ImageNet's size, as in the paper.

  Its taps are `stem` after its ReLU6, `stem/preactivation` before it, `stage1`
  to `stage4` `[batch, h, w, channels]`, each the last map of a resolution, and
  `stageN/blockM`. Blocks and stages end with a linear convolution, so
  `stageN/preactivation` equals `stageN`. `features` and
  `features/preactivation` are the last 1x1 convolution after and before its
  ReLU6, and `embedding` `[batch, 1280]` is the mean of `features` over
  positions.

  The defaults are torchvision's `mobilenet_v2`: its `features[0]` is `stem`,
  `features[1]` to `features[17]` are the blocks in the stages' order,
  `features[18]` is `features`, and `classifier[1]` is `head`. RepDistiller's
  network for CIFAR-100, `mobile_half`, has `multiplier=0.5`, `divisor=1`,
  `first_stride=1`, `expand=True`, `activation=nn.relu` and `dropout=0`.

  Attributes:
    classes: Number of logits.
    multiplier: Factor of all numbers of channels; the last 1x1 convolution has
      at least 1280.
    divisor: Numbers of channels are rounded to a multiple of it, by less than a
      tenth downwards.
    first_stride: Stride of the first stage, 2 or, for small images, 1.
    expand: Whether the first block has a 1x1 convolution before its depthwise
      one.
    activation: ReLU6 in the paper.
    dropout: Share of the embedding's values that training drops, drawn from the
      `'dropout'` stream.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  Raises:
    ValueError: if `multiplier` or `divisor` is not positive, or `dropout` is
      not in [0, 1).

  References:
    Sandler et al., `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_, 2018, table 2.
  """

  classes: int
  multiplier: float = 1.0
  divisor: int = 8
  first_stride: int = 2
  expand: bool = False
  activation: Callable[[jax.Array], jax.Array] = nn.relu6
  dropout: float = 0.2
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def __post_init__(self) -> None:
    for name in ('multiplier', 'divisor'):
      if getattr(self, name) <= 0:
        raise ValueError(f'{name} must be positive, got {getattr(self, name)}.')
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f'dropout must be in [0, 1), got {self.dropout}.')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {
      'activation': self.activation,
      'dtype': self.dtype,
      'axis_name': self.axis_name,
    }
    stem = ConvStage(self._width(32), 1, stride=2, **settings, name='stem')
    x = stem(x, train)
    for i, rows in enumerate(_ROWS, start=1):
      # The first row of stage 1, without expansion, keeps the resolution.
      strides = (1, self.first_stride) if i == 1 else (2, 1)
      shapes = [
        Shape(self._width(width), expansion, stride if block == 0 else 1)
        for stride, (expansion, width, blocks) in zip(
          strides, rows, strict=False
        )
        for block in range(blocks)
      ]
      stage = Stage(
        tuple(shapes), expand=self.expand, **settings, name=f'stage{i}'
      )
      x = stage(x, train)
    last = max(1280, self._width(1280))
    x = ConvStage(last, 1, kernel=1, **settings, name='features')(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)

  def _width(self, width: int) -> int:
    """Scales a number of channels and rounds it, as the authors' code does."""
    scaled = width * self.multiplier
    units = max(1, int(scaled / self.divisor + 0.5))
    rounded = units * self.divisor
    return rounded if rounded >= 0.9 * scaled else rounded + self.divisor
