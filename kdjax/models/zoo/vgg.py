"""The VGG networks for small images, with batch norm and one dense layer."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvStage

# Images of at least this many pixels are pooled once more.
_LARGE = 64


class VGG(nn.Module):
  """Groups of 3x3 convolutions with max-pooling between them.

  The network takes images of any size. The last two groups have the same
  resolution, a quarter of that of `stage1`; images of 64 pixels or more are
  pooled between them too (RepDistiller pools those of exactly 64 pixels).

  Its taps are `stem` (the first group, at full resolution) and `stage1` to
  `stage4` `[batch, h, w, channels]` after their last ReLU,
  `stem/preactivation` and `stageN/preactivation` before that ReLU,
  `stem/layerM` and `stageN/layerM` (also before their ReLU), and `embedding`
  `[batch, widths[-1]]`, the mean over positions.

  Attributes:
    convolutions: Number of convolutions of each group, the stem first.
    classes: Number of logits.
    widths: Channels of each group; as long as `convolutions`.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  References:
    Simonyan and Zisserman, `Very Deep Convolutional Networks for Large-Scale
    Image Recognition <https://arxiv.org/abs/1409.1556>`_, 2015, table 1. The
    networks for CIFAR-100 are those of `RepDistiller
    <https://github.com/HobbitLong/RepDistiller>`_, `models/vgg.py`.
  """

  convolutions: Sequence[int]
  classes: int
  widths: Sequence[int] = (64, 128, 256, 512, 512)
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    large = min(x.shape[1:3]) >= _LARGE
    groups = list(zip(self.widths, self.convolutions, strict=True))
    for i, (width, convolutions) in enumerate(groups):
      if 0 < i < len(groups) - 1 or (i > 0 and large):
        # 'SAME' also pools maps of odd size or of one pixel.
        x = nn.max_pool(x, (2, 2), strides=(2, 2), padding='SAME')
      group = ConvStage(
        width,
        convolutions,
        bias=True,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'stage{i}' if i else 'stem',
      )
      x = group(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
