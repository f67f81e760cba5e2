"""Standardised soft targets: z-scored logits, so that only shape is taught."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space

# Added to the standard deviation, as in the authors' code.
_STANDARD_DEVIATION_OFFSET = 1e-7


@contract.promises('position')
def standardise_logits(logits: chex.Array) -> jax.Array:
  """Z-scores over classes: `(x - mean) / (std + 1e-7)`, std with ddof 1.

  (`jnp.std` and the paper's formula divide by the number of classes, the
  authors' `torch.std` by one less; this is the latter.) Equal logits, and a
  single one, become 0 with gradient 0, where the formula's gradient is 1e7 and
  the unbiased deviation of one number is 0 / 0.

  >>> scores = standardise_logits(jnp.array([1.0, 2.0, 3.0]))
  >>> [round(x, 4) for x in scores.tolist()]
  [-1.0, 0.0, 1.0]

  Args:
    logits: Shape `[..., classes]`. Masked classes (-inf, -1e9, `finfo.min`) are
      left out, and become 0.

  Returns:
    Same shape, float32 at least. Invariant to shifts of the logits and (up to
    the 1e-7) to positive scales.

  Raises:
    RefusedError: if the dtype is not floating.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024, algorithm 1.
  """
  logits, keep = log_space.single(logits)
  deviations, deviation = _deviations(logits, keep)
  return numerics.safe_divide(deviations, deviation + _offset(deviation))


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def standardised_soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 2.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Soft targets between standardised logits.

  `t**2 * KL(softmax(z(teacher) / t) || softmax(z(student) / t))` with `z` as
  `standardise_logits`. The authors weight it by 9 beside a cross-entropy of
  weight 0.1. Time and memory `O(N C)`.

  >>> student = jnp.array([[3.0, 2.0, 1.0]])
  >>> teacher = jnp.array([[5.0, 7.0, 9.0]])
  >>> print(f'{standardised_soft_target_loss(student, teacher)[0]:.4f}')
  1.2806

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least. Invariant to
    shift and positive scale of either set of logits.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024, algorithm 1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  by = contract.over_classes(temperature)
  ours, theirs = (_deviations(x, keep) for x in (student, teacher))
  change = _deviations(student - teacher, keep)[0]
  scores, difference = _scores(ours, theirs, change, keep)
  losses = temperature**2 * log_space.divergence(
    scores[1] / by, scores[0] / by, difference / by, keep
  )
  return log_space.of_positions(losses, valid)


def _scores(ours, theirs, change, keep) -> tuple[list[jax.Array], jax.Array]:
  """Scores of student and teacher, and the first less the second."""
  scales = [x[1] + _offset(x[1]) for x in (ours, theirs)]
  scores = [
    numerics.safe_divide(x[0], scale)
    for x, scale in zip((ours, theirs), scales, strict=True)
  ]
  # Scores of networks that nearly agree share their digits: their difference
  # is that of the deviations, and that of the scales.
  narrowing = _scale_difference(theirs, ours, change, keep)
  moved = numerics.safe_divide(change, scales[0])
  scaled = theirs[0] * numerics.safe_divide(narrowing, scales[0] * scales[1])
  constant = (scales[0] == 0) | (scales[1] == 0)
  apart = sum(jnp.abs(x) for x in scores) < jnp.abs(moved) + jnp.abs(scaled)
  direct = scores[0] - scores[1]
  return scores, jnp.where(constant | apart, direct, moved + scaled)


def _deviations(x: chex.Array, keep: chex.Array) -> tuple[jax.Array, jax.Array]:
  """From the mean of the kept classes; and the standard deviation."""
  count = jnp.sum(keep, axis=-1, keepdims=True).astype(x.dtype)
  # From one of the logits, so that a common offset costs no accuracy.
  first = jnp.take_along_axis(
    x, jnp.argmax(keep, axis=-1, keepdims=True), axis=-1
  )
  relative = jnp.where(keep, x - first, 0)
  mean = jnp.sum(relative, axis=-1, keepdims=True) / jnp.maximum(count, 1)
  varied = jnp.any(relative != 0, axis=-1, keepdims=True)
  deviations = jnp.where(keep & varied, relative - mean, 0)
  squares = jnp.sum(jnp.square(deviations), axis=-1, keepdims=True)
  return deviations, numerics.safe_sqrt(squares / jnp.maximum(count - 1, 1))


def _offset(deviation: chex.Array) -> jax.Array:
  """The authors' offset; 0 beside a deviation of 0, which divides nothing."""
  return jnp.where(deviation == 0, 0, _STANDARD_DEVIATION_OFFSET)


def _scale_difference(theirs, ours, change, keep) -> jax.Array:
  """Standard deviation of the teacher's logits less that of the student's."""
  count = jnp.sum(keep, axis=-1, keepdims=True).astype(change.dtype)
  products = -change * (theirs[0] + ours[0])
  difference = jnp.sum(products, axis=-1, keepdims=True)
  difference /= jnp.maximum(count - 1, 1)
  return numerics.safe_divide(difference, theirs[1] + ours[1])
