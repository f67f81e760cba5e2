"""DIST: predictions correlate, between classes and within each class."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space

# Added to the product of norms, as in the authors' code. Rows and columns of
# probabilities that are small against it count as uncorrelated.
_NORM_PRODUCT_OFFSET = 1e-8


@contract.promises(
  'scalar',
  inter_weight=contract.NOT_NEGATIVE,
  intra_weight=contract.NOT_NEGATIVE,
  temperature=contract.POSITIVE,
)
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
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Huang et al., `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_, 2022, equations 7 to 10.
  """
  chex.assert_rank([student_logits, teacher_logits], 2)
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  valid = numerics.valid_rows(student_logits, mask)
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  keep &= valid[:, None]
  student, teacher = (
    _deviations(x, keep, temperature) for x in (student, teacher)
  )
  inter = _mean_column_decorrelation(student.T, teacher.T, keep.T)
  intra = _mean_column_decorrelation(student, teacher, keep)
  loss = inter_weight * inter + intra_weight * intra
  return temperature**2 * loss if scale_by_temperature else loss


def _deviations(
  logits: chex.Array, keep: chex.Array, temperature: chex.Numeric
) -> jax.Array:
  """Softened predictions less the uniform one, 0 where nothing is kept.

  Centred vectors do not see the uniform prediction; at high temperatures it
  would be all that float32 keeps of them.
  """
  count = jnp.maximum(jnp.sum(keep, axis=-1, keepdims=True), 1)
  count = count.astype(logits.dtype)
  lowest = jnp.where(keep, logits, -jnp.inf)
  highest = jax.lax.stop_gradient(jnp.max(lowest, axis=-1, keepdims=True))
  highest = jnp.where(highest == -jnp.inf, 0, highest)
  excess = jnp.expm1(jnp.where(keep, (logits - highest) / temperature, 0))
  mean = jnp.sum(excess, axis=-1, keepdims=True) / count
  return jnp.where(keep, (excess - mean) / ((1 + mean) * count), 0)


def _mean_column_decorrelation(
  a: chex.Array, b: chex.Array, keep: chex.Array
) -> jax.Array:
  """Mean over columns of one minus their correlation, over what is kept."""
  a, b = _centred_columns(a, keep), _centred_columns(b, keep)
  norms = [numerics.safe_sqrt(jnp.sum(x * x, axis=0)) for x in (a, b)]
  units = [
    numerics.safe_divide(x, norm[None, :])
    for x, norm in zip((a, b), norms, strict=True)
  ]
  # |a| |b| - a.b, without the subtraction, in which like vectors cancel.
  apart = jnp.sum(jnp.square(units[0] - units[1]), axis=0) / 2
  product = norms[0] * norms[1]
  losses = (product * apart + _NORM_PRODUCT_OFFSET) / (
    product + _NORM_PRODUCT_OFFSET
  )
  columns = jnp.any(keep, axis=0)
  count = jnp.maximum(jnp.sum(columns), 1).astype(a.dtype)
  return jnp.sum(jnp.where(columns, losses, 0)) / count


def _centred_columns(x: chex.Array, keep: chex.Array) -> jax.Array:
  """Columns minus their means; exactly 0 where all kept entries are equal.

  Otherwise the rounding of the mean would leave a direction to correlate, and
  the small norm a gradient of 1e8.
  """
  highest = jnp.max(jnp.where(keep, x, -jnp.inf), axis=0, keepdims=True)
  lowest = jnp.min(jnp.where(keep, x, jnp.inf), axis=0, keepdims=True)
  count = jnp.maximum(jnp.sum(keep, axis=0, keepdims=True), 1)
  mean = jnp.sum(jnp.where(keep, x, 0), axis=0, keepdims=True)
  # Not `highest > lowest`, which is false for NaN and would hide it.
  constant = highest <= lowest
  centred = jnp.where(keep, x - mean / count.astype(x.dtype), 0)
  return jnp.where(constant, 0, centred)
