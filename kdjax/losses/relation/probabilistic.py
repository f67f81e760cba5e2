"""Probabilistic transfer: who is a probable neighbour of whom."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.relation import rows

# The authors add this to lengths and to probabilities. It bounds the logarithm
# where two examples of the student are opposite, and it shows in the value.
_EPSILON = 1e-7


def probabilistic_transfer_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the conditional probabilities of neighbours (PKT).

  `1 / N**2 * sum_ij p_ij log(p_ij / q_ij)`, where `p_ij` of the teacher and
  `q_ij` of the student are `(1 + cos(x_i, x_j)) / 2` over their sum over `j`.
  Couples the examples of the batch.

  As the authors' code has it, whose usual weight of 30000 belongs to the mean
  over all pairs: the paper sums over the pairs and leaves `j = i` out. Lengths
  and probabilities have 1e-7 added. Zero rows have cosine 0 with all. Time
  `O(N^2 D)`, memory `O(N^2 + N D)`.

  Args:
    student: Embeddings, shape `[batch, student_dim]`.
    teacher: Embeddings, shape `[batch, teacher_dim]`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch and to rotation of either set of embeddings, and but for the
    1e-7 to their scale.

  Raises:
    AssertionError: if the batch sizes differ, the rank is not 2 or the dtypes
      are not floating.

  References:
    Passalis and Tefas, `Learning Deep Representations with Probabilistic
    Knowledge Transfer <https://arxiv.org/abs/1803.10837>`_, 2018,
    equations 4 to 6.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  pairs = valid[:, None] & valid[None, :]
  q = _neighbours(student, valid, pairs)
  p = _neighbours(teacher, valid, pairs)
  log_ratio = jnp.log(p + _EPSILON) - jnp.log(q + _EPSILON)
  total = jnp.sum(p * log_ratio)
  return total / rows.count(valid, total.dtype) ** 2


def _neighbours(
  x: chex.Array, valid: chex.Array, pairs: chex.Array
) -> jax.Array:
  """Probability of `j` given `i`; 0 where either is padding."""
  x, norms = rows.unit_and_norms(rows.flattened(x, valid))
  # 1 + cosine of opposite rows is a rounding error, which the logarithm would
  # show: it is zero, and what the epsilon adds to it is added exactly.
  one_plus = 1 + numerics.gram(x)
  rounding = 16 * jnp.finfo(one_plus.dtype).eps
  one_plus = jnp.where(one_plus > rounding, one_plus, 0)
  shrink = _EPSILON / (norms + _EPSILON)
  shrink = shrink + shrink.T - shrink * shrink.T
  similarity = (one_plus - (one_plus - 1) * shrink) / 2
  similarity = jnp.where(pairs, similarity, 0)
  return numerics.safe_divide(
    similarity, jnp.sum(similarity, axis=1, keepdims=True)
  )
