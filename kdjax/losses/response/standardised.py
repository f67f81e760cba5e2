"""Standardised soft targets: z-scored logits, so that only shape is taught."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import soft_targets

# Added to the standard deviation, as in the authors' code.
_STANDARD_DEVIATION_OFFSET = 1e-7


def standardise_logits(logits: chex.Array) -> jax.Array:
  """Z-scores over classes: `(x - mean) / (std + 1e-7)`, std with ddof 1.

  (`jnp.std` and the paper's formula divide by the number of classes, the
  authors' `torch.std` by one less; this is the latter.) Equal logits, and a
  single one, become 0 with gradient 0, where the formula's gradient is 1e7 and
  the unbiased deviation of one number is 0 / 0.

  Args:
    logits: Shape `[..., classes]`, finite.

  Returns:
    Same shape, float32 at least. Invariant to shifts of the logits and (up to
    the 1e-7) to positive scales.

  Raises:
    AssertionError: if the dtype is not floating.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024, algorithm 1.
  """
  chex.assert_type(logits, float)
  logits = numerics.at_least_float32(logits)
  # From the first logit, so that a common offset costs no accuracy in the mean.
  relative = logits - logits[..., :1]
  deviations = relative - jnp.mean(relative, axis=-1, keepdims=True)
  varied = jnp.any(relative != 0, axis=-1, keepdims=True)
  degrees = max(logits.shape[-1] - 1, 1)
  variance = jnp.sum(deviations**2, axis=-1, keepdims=True) / degrees
  scale = numerics.safe_sqrt(variance) + _STANDARD_DEVIATION_OFFSET
  return jnp.where(varied, deviations / scale, 0)


def standardised_soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 2.0,
) -> jax.Array:
  """Soft targets between standardised logits.

  `t**2 * KL(softmax(z(teacher) / t) || softmax(z(student) / t))` with `z` as
  `standardise_logits`. The authors weight it by 9 beside a cross-entropy of
  weight 0.1. Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least. Invariant to
    shift and positive scale of either set of logits.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024, algorithm 1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  return soft_targets.soft_target_loss(
    standardise_logits(student_logits),
    standardise_logits(teacher_logits),
    temperature=temperature,
  )
