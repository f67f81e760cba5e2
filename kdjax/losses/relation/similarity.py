"""Similarity preserving: alike for the teacher, alike for the student."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.relation import rows


def similarity_preserving_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Squared difference of row-normalised similarity matrices (SP).

  `1 / N**2 * |G_s - G_t|_F**2`, where `G` is the matrix of inner products of
  the flattened features, each row of it over its length. Couples the examples
  of the batch.

  Paper and codes agree. Rows of similarities shorter than 1e-12 are left as
  they are in PyTorch's `normalize`; here every row but a zero one is
  normalised. Time `O(N^2 D)`, memory `O(N^2 + N D)`.

  Args:
    student: Features, shape `[batch, ...]`.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch, and to rotation and scale of either set of features.

  Raises:
    AssertionError: if the batch sizes differ or the dtypes are not floating.

  References:
    Tung and Mori, `Similarity-Preserving Knowledge Distillation
    <https://arxiv.org/abs/1907.09682>`_, 2019, equations 2 to 4.
  """
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  difference = _similarities(student, valid) - _similarities(teacher, valid)
  total = jnp.sum(jnp.square(difference))
  return total / rows.count(valid, total.dtype) ** 2


def _similarities(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Gram matrix with rows of length 1; zero where a row or column is."""
  return rows.unit(numerics.gram(rows.scaled(rows.flattened(x, valid))))
