"""DIST: predictions correlate, between classes and within each class."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics

# Added to the product of norms, as in the authors' code. Rows and columns of
# probabilities that are small against it count as uncorrelated.
_NORM_PRODUCT_OFFSET = 1e-8


def dist_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  inter_weight: chex.Numeric = 1.0,
  intra_weight: chex.Numeric = 1.0,
  temperature: chex.Numeric = 1.0,
  scale_by_temperature: bool = False,
  mask: chex.Array | None = None,
) -> jax.Array:
  """One minus the correlation of predictions, over classes and over examples.

  With `S = softmax(student / t)` and `T = softmax(teacher / t)`, both
  `[batch, classes]`, and `r` Pearson's correlation,
  `inter_weight * (1 - mean_i r(S_i, T_i)) +
  intra_weight * (1 - mean_k r(S_:k, T_:k))`: rows ask for the teacher's
  relations between classes, columns for its relations between examples within
  a class. `r = a.b / (|a| |b| + 1e-8)` of centred vectors. Couples the
  examples of the batch.

  A constant vector (one class, one example, uniform predictions) counts as
  correlation 0 with gradient 0; the reference's gradient is up to 1e8 there,
  so its value at student = teacher is 0 only where nothing is constant. The
  authors' code multiplies the loss by `temperature**2`, the paper does not:
  `scale_by_temperature` reaches the code's.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[batch, classes]`.
    teacher_logits: Same shape as `student_logits`.
    inter_weight: Weight of the relations between classes (the paper's beta).
    intra_weight: Weight of the relations within a class (its gamma).
    temperature: Softens both distributions; higher is softer. Above 0.
    scale_by_temperature: Multiply by `temperature**2`, as the code does.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least.

  Raises:
    AssertionError: if the shapes differ, the rank is not 2 or the dtypes are
      not floating.

  References:
    Huang et al., `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_, 2022, equations 7 to 10.
  """
  chex.assert_rank([student_logits, teacher_logits], 2)
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  valid = numerics.valid_rows(student_logits, mask)
  student = _probabilities(student_logits, valid, temperature)
  teacher = _probabilities(teacher_logits, valid, temperature)
  all_classes = jnp.ones(student.shape[1:], bool)
  inter = _mean_column_correlation(student.T, teacher.T, all_classes, valid)
  intra = _mean_column_correlation(student, teacher, valid, all_classes)
  loss = inter_weight * (1 - inter) + intra_weight * (1 - intra)
  return temperature**2 * loss if scale_by_temperature else loss


def _probabilities(
  logits: chex.Array, valid: chex.Array, temperature: chex.Numeric
) -> jax.Array:
  """Softened predictions, uniform in padding rows."""
  logits = jnp.where(valid[:, None], numerics.at_least_float32(logits), 0)
  return jax.nn.softmax(logits / temperature)


def _mean_column_correlation(
  a: chex.Array,
  b: chex.Array,
  valid_rows: chex.Array,
  valid_columns: chex.Array,
) -> jax.Array:
  """Mean over valid columns of their correlation over valid rows."""
  a = _centred_columns(a, valid_rows)
  b = _centred_columns(b, valid_rows)
  norms = numerics.safe_sqrt(jnp.sum(a * a, axis=0)) * numerics.safe_sqrt(
    jnp.sum(b * b, axis=0)
  )
  correlations = jnp.sum(a * b, axis=0) / (norms + _NORM_PRODUCT_OFFSET)
  count = jnp.maximum(jnp.sum(valid_columns), 1).astype(a.dtype)
  return jnp.sum(jnp.where(valid_columns, correlations, 0)) / count


def _centred_columns(x: chex.Array, valid_rows: chex.Array) -> jax.Array:
  """Columns minus their means; exactly 0 where all valid entries are equal.

  Otherwise the rounding of the mean would leave a direction to correlate, and
  the small norm a gradient of 1e8.
  """
  keep = valid_rows[:, None]
  highest = jnp.max(jnp.where(keep, x, -jnp.inf), axis=0, keepdims=True)
  lowest = jnp.min(jnp.where(keep, x, jnp.inf), axis=0, keepdims=True)
  return jnp.where(highest > lowest, numerics.centred(x, valid_rows), 0)
