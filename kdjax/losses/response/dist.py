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

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> print(f'{dist_loss(logits[:, ::-1], logits):.4f}')
  3.5952

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
  inter = _mean_decorrelation(student, teacher, keep, axis=1)
  intra = _mean_decorrelation(student, teacher, keep, axis=0)
  loss = inter_weight * inter + intra_weight * intra
  return temperature**2 * loss if scale_by_temperature else loss


def _deviations(
  logits: chex.Array, keep: chex.Array, temperature: chex.Numeric
) -> jax.Array:
  """Softened predictions less that of one class in all, 0 where not kept.

  Centred vectors do not see the constant; at high temperatures it would be all
  that float32 keeps of them.
  """
  count = jnp.maximum(jnp.sum(keep, axis=-1, keepdims=True), 1)
  count = count.astype(logits.dtype)
  lowest = jnp.where(keep, logits, -jnp.inf)
  highest = jax.lax.stop_gradient(jnp.max(lowest, axis=-1, keepdims=True))
  highest = jnp.where(highest == -jnp.inf, 0, highest)
  scores = jnp.where(keep, (logits - highest) / temperature, 0)
  excess = jnp.expm1(scores)
  mean = jnp.sum(excess, axis=-1, keepdims=True) / count
  total = (1 + mean) * count
  ratio = jnp.exp(scores) / (1 + mean)  # To the uniform prediction.
  uniform = 1 / count - 1 / logits.shape[-1]
  # Far from it the ratio knows more: of predictions of 0 it makes a column
  # that is constant, and has no correlation.
  deviations = jnp.where(
    jnp.abs(ratio - 1) < 0.5,
    (excess - mean) / total + uniform,
    ratio / count - 1 / logits.shape[-1],
  )
  return jnp.where(keep, deviations, 0)


def _mean_decorrelation(
  a: chex.Array, b: chex.Array, keep: chex.Array, axis: int
) -> jax.Array:
  """One minus the correlation along an axis, over what is kept; their mean."""
  count = jnp.sum(keep.astype(a.dtype), axis=axis, keepdims=True)
  units, norms = zip(
    *(_unit(x, keep, count, axis) for x in (a, b)), strict=True
  )
  # |a| |b| - a.b, without the subtraction, in which like vectors cancel.
  apart = jnp.sum(jnp.square(units[0] - units[1]), axis=axis) / 2
  product = jnp.squeeze(norms[0] * norms[1], axis)
  losses = (product * apart + _NORM_PRODUCT_OFFSET) / (
    product + _NORM_PRODUCT_OFFSET
  )
  there = jnp.squeeze(count, axis) > 0
  total = jnp.maximum(jnp.sum(there), 1).astype(a.dtype)
  return jnp.sum(jnp.where(there, losses, 0)) / total


def _unit(x, keep, count, axis: int) -> tuple[jax.Array, jax.Array]:
  """Centred vectors over their norms, and the norms: 0 of constant vectors.

  Otherwise the rounding of the mean would leave a direction to correlate, and
  the small norm a gradient of 1e8.
  """
  highest = jnp.max(jnp.where(keep, x, -jnp.inf), axis=axis, keepdims=True)
  x = jnp.where(keep, x - jax.lax.stop_gradient(highest), 0)
  mean = jnp.sum(x, axis=axis, keepdims=True) / jnp.maximum(count, 1)
  centred = jnp.where(keep, x - mean, 0)
  norm = numerics.safe_sqrt(
    jnp.sum(centred * centred, axis=axis, keepdims=True)
  )
  return numerics.safe_divide(centred, norm), norm
