"""A plain convolutional network, small enough for a laptop."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.layers import ConvStage


class ConvNet(nn.Module):
  """Stages of 3x3 convolutions with max-pooling between them.

  Takes images of any size. Taps: `stageN` `[batch, h, w, widths[N - 1]]` after
  its last ReLU, `stageN/preactivation` before it, `stageN/layerM` (also before
  its ReLU) and `embedding` `[batch, widths[-1]]`, the mean over positions.

  Attributes:
    widths: Channels of each stage.
    convolutions: Convolutions of each stage, as many numbers as `widths`.
    classes: Number of logits.
    dtype: Of the computation; parameters, statistics and logits are float32.
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
        # 'SAME' lets an odd or one-pixel map through.
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
