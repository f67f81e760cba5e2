"""The direction term of streamlined distillation (SKD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics


def streamlined_direction_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  tikhonov: chex.Numeric = 0.1,
  divide_by_classes: bool = False,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Mahalanobis length of the difference between matrices of cosines (SKD).

  With `D = cos(student, student) - cos(teacher, teacher)`, the cosines of the
  logits of all pairs of examples, rows `d_i`, and
  `V = cov(D) + tikhonov * I` the (unbiased) covariance of its columns:
  `mean_i sqrt(d_i V^-1 d_i)`. The gradient flows through `V` too. Couples the
  examples of the batch. The other term of the method is the soft target loss.

  The code published with the method divides the cosines by the number of
  classes, which weakens them against `tikhonov`: `divide_by_classes` reaches
  it; torchdistill does not, which is the default. That code also multiplies
  this scalar by the mean of a mask of the half of the classes that are least
  predicted (and the soft target loss, already averaged, by that of the half of
  the examples): a factor near 1/2, which belongs in the weight.

  Zero logits have cosine 0 with all, and no gradient. One Cholesky
  factorisation: time `O(N^3 + N^2 C)`, memory `O(N^2 + N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[batch, classes]`.
    teacher_logits: Shape `[batch, teacher_classes]`; only angles are compared.
    tikhonov: Added to the diagonal of the covariance. Above 0.
    divide_by_classes: Divide the cosines by the number of classes.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least. Invariant to rotation of either set of logits
    and to the positive scale of each row.

  Raises:
    AssertionError: if the batch sizes differ, the rank is not 2 or the dtypes
      are not floating.

  References:
    Streamlined Knowledge Distillation, CVPR 2026, the direction-wise loss.
  """
  chex.assert_rank([student_logits, teacher_logits], 2)
  chex.assert_equal_shape_prefix([student_logits, teacher_logits], 1)
  chex.assert_type([student_logits, teacher_logits], float)
  valid = numerics.valid_rows(student_logits, mask)
  student = _cosines(student_logits, valid, divide_by_classes)
  difference = student - _cosines(teacher_logits, valid, divide_by_classes)
  count = jnp.maximum(jnp.sum(valid), 1).astype(difference.dtype)
  centred = numerics.centred(difference, valid)
  covariance = numerics.gram(centred.T) / jnp.maximum(count - 1, 1)
  ridge = tikhonov * jnp.eye(valid.shape[0], dtype=difference.dtype)
  # |L^-1 d|^2 is d V^-1 d and, unlike it, never below zero.
  whitened = jax.scipy.linalg.solve_triangular(
    jnp.linalg.cholesky(covariance + ridge), difference.T, lower=True
  )
  lengths = numerics.safe_sqrt(jnp.sum(whitened**2, axis=0))
  return jnp.sum(lengths) / count


def _cosines(
  logits: chex.Array, valid: chex.Array, divide_by_classes: bool
) -> jax.Array:
  """Cosines of all pairs of rows; 0 for zero and padding rows."""
  x = jnp.where(valid[:, None], numerics.at_least_float32(logits), 0)
  norms = numerics.safe_sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
  cosines = numerics.gram(numerics.safe_divide(x, norms))
  return cosines / logits.shape[-1] if divide_by_classes else cosines
