"""Decoupled distillation: the target class apart from the others (DKD)."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import log_space


class DecoupledParts(NamedTuple):
  """The two parts of soft targets, per example.

  Attributes:
    target: Divergence of target class against the rest, shape `[...]` (TCKD).
    non_target: Divergence among the other classes, shape `[...]` (NCKD).
  """

  target: jax.Array
  non_target: jax.Array


def decoupled_parts(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 4.0,
) -> DecoupledParts:
  """Target and non-target divergence, of which soft targets are a blend.

  With `p = softmax(teacher / t)`, `q = softmax(student / t)`, `y` the label and
  `p', q'` the distributions over the classes other than `y`:
  `target = t**2 * KL([p_y, 1 - p_y] || [q_y, 1 - q_y])` and
  `non_target = t**2 * KL(p' || q')`. The soft target loss is
  `target + (1 - p_y) * non_target`.

  Exact in log space, so two classes have `non_target = 0`, one class has both
  0, and logits of +-1e4 are finite. Other implementations take the log of
  summed probabilities, which reaches -inf (and 0 * inf = NaN), and leave the
  target out of `p'` by subtracting 1000 from its logit, which is not enough
  for logits beyond that.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Both parts in nats, shape `[...]` each, float32 at least, each times
    `temperature**2`.

  Raises:
    AssertionError: if the shapes differ, the logits are not floating or the
      labels are not integers.

  References:
    Zhao et al., `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, 2022, equations 4 to 6.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_shape(labels, student_logits.shape[:-1])
  chex.assert_type(
    [student_logits, teacher_logits, labels], [float, float, int]
  )
  student = numerics.at_least_float32(student_logits) / temperature
  teacher = numerics.at_least_float32(teacher_logits) / temperature
  target = log_space.kl_divergence(
    _log_target_and_rest(teacher, labels),
    _log_target_and_rest(student, labels),
  )
  non_target = log_space.kl_divergence(
    log_space.other_log_probabilities(teacher, labels),
    log_space.other_log_probabilities(student, labels),
  )
  return DecoupledParts(temperature**2 * target, temperature**2 * non_target)


def decoupled_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  alpha: chex.Numeric = 1.0,
  beta: chex.Numeric = 8.0,
  temperature: chex.Numeric = 4.0,
) -> jax.Array:
  """Decoupled knowledge distillation: `alpha * target + beta * non_target`.

  The parts are those of `decoupled_parts`. The authors' runs on CIFAR-100 have
  `beta` 2 (ResNet-56 and -110), 6 (wide ResNets, VGG) or 8 (ResNet-32x4),
  weight 1 beside a cross-entropy of weight 1, and a weight that rises linearly
  from 0 over the first 20 epochs; on ImageNet `beta` 0.5 and temperature 1.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    alpha: Weight of the target part.
    beta: Weight of the non-target part.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per example, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ, the logits are not floating or the
      labels are not integers.

  References:
    Zhao et al., `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, 2022, equation 7.
  """
  parts = decoupled_parts(
    student_logits, teacher_logits, labels, temperature=temperature
  )
  return alpha * parts.target + beta * parts.non_target


def _log_target_and_rest(logits: chex.Array, labels: chex.Array) -> jax.Array:
  """Log probabilities of the label and of all else, shape `[..., 2]`."""
  log_odds = log_space.target_log_odds(logits, labels)
  return jnp.stack(
    [jax.nn.log_sigmoid(log_odds), jax.nn.log_sigmoid(-log_odds)], axis=-1
  )
