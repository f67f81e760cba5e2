"""Inter-channel correlation: which channels respond together."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises('example')
def inter_channel_loss(student: chex.Array, teacher: chex.Array) -> jax.Array:
  """Squared difference of the row-normalised Gram matrices of channels (ICKD).

  `sum_ij (G_s - G_t)_ij^2 / C`, where the rows of `G = F F^T` (`F` the map as
  `channels x positions`) are normalised to length 1. The mean over the batch
  is the authors' CIFAR code (weight 2.5); torchdistill, and with it their
  ImageNet code, divides the sum by the batch size twice, so that its loss
  shrinks with the batch.

  Time `O(N C^2 H W)`, memory `O(N C^2)`.

  >>> student, teacher = jnp.eye(2).reshape(1, 1, 2, 2), jnp.ones((1, 1, 2, 2))
  >>> print(f'{inter_channel_loss(student, teacher)[0]:.4f}')
  0.5858

  Args:
    student: Shape `[batch, height, width, channels]`; features pass a 1x1
      convolution and batch norm where the channels differ.
    teacher: Shape `[batch, height', width', channels]`. The sizes may differ.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to the scale
    of either map, to one permutation of the channels of both, and to any
    permutation of the positions of either.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., `Exploring Inter-Channel Correlation for Diversity-Preserved
    Knowledge Distillation <https://arxiv.org/abs/2202.03680>`_, 2021,
    section 3.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_equal_shape_suffix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  difference = _correlations(student) - _correlations(teacher)
  return jnp.sum(jnp.square(difference), axis=(1, 2)) / student.shape[-1]


def _correlations(features: chex.Array) -> jax.Array:
  """Row-normalised Gram matrix of the channels: `[batch, C, C]`."""
  vectors = maps.channel_vectors(numerics.at_least_float32(features))
  return maps.unit_vectors(maps.inner_products(vectors, vectors))
