"""Normalised distillation: target and normalised non-targets (NKD)."""

import chex
import jax

from kdjax.losses import numerics
from kdjax.losses.response import log_space


def normalised_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  gamma: chex.Numeric = 1.5,
  temperature: chex.Numeric = 1.0,
) -> jax.Array:
  """Soft target of the label, plus the others normalised to sum to one (NKD).

  `-T_y log S_y - gamma * t**2 * sum_{k != y} T'_k log S'_k`, where `T` and `S`
  are the predictions at temperature 1 and `T'` and `S'` those among the other
  classes at temperature `t`. Like the decoupled loss with the target part
  weighted by the teacher's confidence and a fixed weight on the rest, but
  cross-entropies, so not 0 where student and teacher agree.

  One or two classes have no second term. Early copies of the authors' code
  leave the target out by subtracting 1000 from its logit, and one public
  revision fills its mask with ones, so that the target stays in; this is exact.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    gamma: Weight of the non-target term.
    temperature: Softens the non-target distributions only. Above 0.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ, the logits are not floating or the
      labels are not integers.

  References:
    Yang et al., `From Knowledge Distillation to Self-Knowledge Distillation: A
    Unified Approach with Normalized Loss and Customized Soft Labels
    <https://arxiv.org/abs/2303.13005>`_, 2023, section 3.1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_shape(labels, student_logits.shape[:-1])
  chex.assert_type(
    [student_logits, teacher_logits, labels], [float, float, int]
  )
  student = numerics.at_least_float32(student_logits)
  teacher = numerics.at_least_float32(teacher_logits)
  confidence = jax.nn.sigmoid(log_space.target_log_odds(teacher, labels))
  log_student = jax.nn.log_sigmoid(log_space.target_log_odds(student, labels))
  non_target = log_space.cross_entropy(
    log_space.other_log_probabilities(teacher / temperature, labels),
    log_space.other_log_probabilities(student / temperature, labels),
  )
  return -confidence * log_student + gamma * temperature**2 * non_target
