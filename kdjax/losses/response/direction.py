"""The direction term of streamlined distillation (SKD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space


@contract.promises('scalar', tikhonov=contract.POSITIVE)
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

  >>> print(f'{streamlined_direction_loss(jnp.eye(2), jnp.ones((2, 2))):.4f}')
  2.3355

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
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Streamlined Knowledge Distillation, CVPR 2026, the direction-wise loss.
  """
  chex.assert_rank([student_logits, teacher_logits], 2)
  chex.assert_equal_shape_prefix([student_logits, teacher_logits], 1)
  chex.assert_type([student_logits, teacher_logits], float)
  valid = numerics.valid_rows(student_logits, mask)
  if student_logits.shape == teacher_logits.shape:
    student, teacher, keep = log_space.pair(
      student_logits, teacher_logits, valid
    )
    student_keep = teacher_keep = keep
  else:
    student, student_keep = log_space.single(student_logits, valid)
    teacher, teacher_keep = log_space.single(teacher_logits, valid)
  difference = _cosines(student, student_keep, divide_by_classes)
  difference -= _cosines(teacher, teacher_keep, divide_by_classes)
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
  x: chex.Array, keep: chex.Array, divide_by_classes: bool
) -> jax.Array:
  """Cosines of all pairs of rows; 0 for rows of zeros, as padding is."""
  norms = numerics.safe_sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
  cosines = numerics.gram(numerics.safe_divide(x, norms))
  if not divide_by_classes:
    return cosines
  root = jnp.sqrt(jnp.sum(keep, axis=-1).astype(x.dtype))
  return numerics.safe_divide(cosines, root[:, None] * root[None, :])
