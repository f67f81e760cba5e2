"""A multilayer perceptron, the cheapest teacher and student."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


class MLPStage(nn.Module):
  """Dense layer and ReLU; sows `preactivation`.

  Attributes:
    width: Number of units.
    dtype: Dtype of the computation; parameters are float32.
  """

  width: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, channels]` to `[batch, width]`."""
    x = nn.Dense(self.width, dtype=self.dtype, name='dense')(x)
    self.sow('intermediates', 'preactivation', x)
    return nn.relu(x)


class MLP(nn.Module):
  """Multilayer perceptron on flattened inputs.

  Its taps are `stageN` `[batch, features[N - 1]]` after its ReLU,
  `stageN/preactivation` before its ReLU, and `embedding`, which equals the last
  stage.

  Attributes:
    features: Widths of the hidden layers.
    classes: Number of logits.
    dtype: Dtype of the computation; parameters and logits are float32.
  """

  features: Sequence[int]
  classes: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, ...]` to float32 logits, `[batch, classes]`."""
    x = x.reshape(x.shape[0], -1)
    for i, width in enumerate(self.features, start=1):
      x = MLPStage(width, self.dtype, name=f'stage{i}')(x)
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
