"""Soft targets: the divergence of softened predictions."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics


def soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
) -> jax.Array:
  """Divergence of the student's softened predictions from the teacher's.

  `t**2 * KL(softmax(teacher / t) || softmax(student / t))` with
  `t = temperature`, summed over classes. The factor keeps the size of the
  gradient when the temperature changes. (Dividing by the number of classes
  too, or leaving the factor out, are common slips elsewhere.)

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015, section 2.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  student = numerics.at_least_float32(student_logits)
  teacher = numerics.at_least_float32(teacher_logits)
  log_q = jax.nn.log_softmax(student / temperature)
  log_p = jax.nn.log_softmax(teacher / temperature)
  # A class ruled out by the teacher (logit -inf) adds nothing, whatever the
  # student says of it: 0 * (-inf - x) would be NaN.
  possible = log_p > -jnp.inf
  log_ratio = jnp.where(possible, log_p, 0) - jnp.where(possible, log_q, 0)
  return temperature**2 * jnp.sum(jnp.exp(log_p) * log_ratio, axis=-1)
