"""Weighted soft labels: soft targets count where the student lags (WSLD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import log_space

# Keeps the ratio finite when the teacher is certain of the label; as in the
# authors' code. The paper has none.
_SMALLEST_CROSS_ENTROPY = 1e-7


def weighted_soft_label_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 2.0,
) -> jax.Array:
  """Soft cross-entropy, weighted by how far the student lags the teacher.

  `w * t**2 * -sum_k p_k log q_k`, `p = softmax(teacher / t)` and
  `q = softmax(student / t)`, with
  `w = 1 - exp(-CE(student, label) / (CE(teacher, label) + 1e-7))`, both at
  temperature 1. By the authors' definition `w` is a constant: no gradient
  flows through it, to either network.

  A cross-entropy, not a divergence: it is not 0 where student and teacher
  agree. Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ, the logits are not floating or the
      labels are not integers.

  References:
    Zhou et al., `Rethinking Soft Labels for Knowledge Distillation: A
    Bias-Variance Tradeoff Perspective <https://arxiv.org/abs/2102.00650>`_,
    2021, section 4. Weight 2.5 beside the cross-entropy on ImageNet.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_shape(labels, student_logits.shape[:-1])
  chex.assert_type(
    [student_logits, teacher_logits, labels], [float, float, int]
  )
  student = numerics.at_least_float32(student_logits)
  teacher = numerics.at_least_float32(teacher_logits)
  ratio = _label_cross_entropy(student, labels) / (
    _label_cross_entropy(teacher, labels) + _SMALLEST_CROSS_ENTROPY
  )
  weight = jax.lax.stop_gradient(-jnp.expm1(-ratio))
  loss = log_space.cross_entropy(
    jax.nn.log_softmax(teacher / temperature),
    jax.nn.log_softmax(student / temperature),
  )
  return temperature**2 * weight * loss


def _label_cross_entropy(logits: chex.Array, labels: chex.Array) -> jax.Array:
  """`-log p` of the label, to full relative accuracy where `p` is near 1.

  Its size matters there: it is divided by another of 1e-7.
  """
  return -jax.nn.log_sigmoid(log_space.target_log_odds(logits, labels))
