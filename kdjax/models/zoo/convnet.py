"""A plain convolutional network, small enough for a laptop."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import ConvStage


class ConvNet(nn.Module):
  """Stages of 3x3 convolutions with max-pooling between them.

  The network takes images of any size. Its taps are `stageN`
  `[batch, h, w, widths[N - 1]]` after its last ReLU, `stageN/preactivation`
  before that ReLU, `stageN/layerM` (also before its ReLU) and `embedding`
  `[batch, widths[-1]]`, the mean over positions.

  Attributes:
    widths: Channels of each stage.
    convolutions: Number of convolutions of each stage; as long as `widths`.
    classes: Number of logits.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.
  """

  widths: Sequence[int]
  convolutions: Sequence[int]
  classes: int
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    stages = zip(self.widths, self.convolutions, strict=True)
    for i, (width, convolutions) in enumerate(stages, start=1):
      if i > 1:
        # 'SAME' also pools maps of odd size or of one pixel.
        x = nn.max_pool(x, (2, 2), strides=(2, 2), padding='SAME')
      stage = ConvStage(
        width,
        convolutions,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'stage{i}',
      )
      x = stage(x, train)
    x = x.mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
