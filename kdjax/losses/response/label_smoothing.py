"""Without a teacher: label smoothing and the virtual teacher (Tf-KD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import log_space


def label_smoothing_loss(
  student_logits: chex.Array,
  labels: chex.Array,
  *,
  smoothing: chex.Numeric = 0.1,
  over_other_classes: bool = False,
) -> jax.Array:
  """Cross-entropy with the label mixed with a uniform distribution.

  `-(1 - smoothing) * log q_y - smoothing * mean_k log q_k`: the uniform part
  covers all classes, as in the papers. The code of Yuan et al. spreads it over
  the classes other than the label (`over_other_classes`), which is the same
  with `smoothing` times `classes / (classes - 1)`.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    labels: Integer classes, shape `[...]`.
    smoothing: Weight of the uniform distribution, 0 to 1.
    over_other_classes: Leave the label out of the uniform distribution.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes do not fit, the logits are not floating or the
      labels are not integers.

  References:
    Szegedy et al., `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_, 2016, section 7.
  """
  chex.assert_shape(labels, student_logits.shape[:-1])
  chex.assert_type([student_logits, labels], [float, int])
  classes = student_logits.shape[-1]
  log_q = jax.nn.log_softmax(numerics.at_least_float32(student_logits))
  target = log_space.is_target(labels, classes)
  own = jnp.sum(jnp.where(target, log_q, 0), axis=-1)
  if over_other_classes:
    others = jnp.sum(jnp.where(target, 0, log_q), axis=-1)
    uniform = others / max(classes - 1, 1)
  else:
    uniform = jnp.mean(log_q, axis=-1)
  return -(1 - smoothing) * own - smoothing * uniform


def teacher_free_loss(
  student_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 20.0,
  confidence: chex.Numeric = 0.99,
  student_temperature: chex.Numeric = 1.0,
  soften_probabilities: bool = True,
) -> jax.Array:
  """Divergence from a virtual teacher that is right on every example.

  `KL(softmax(u / t) || softmax(student / student_temperature))`, where `u` is
  `confidence` at the label and `(1 - confidence) / (classes - 1)` elsewhere.
  As in the authors' code the probabilities `u` themselves are softened as if
  they were logits, which leaves a nearly uniform distribution, and the student
  is not softened. Elsewhere softening means `u**(1 / t)`, normalised
  (`soften_probabilities=False`), of both sides (`student_temperature=t`).

  Summed over classes. The authors' code takes PyTorch's mean over batch AND
  classes, times a multiplier of 100 on CIFAR-100's 100 classes: the same. Its
  weight is 0.1, beside 0.9 of cross-entropy. Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    labels: Integer classes, shape `[...]`.
    temperature: Softens the virtual teacher. Above 0.
    confidence: Its probability of the label before that, between 0 and 1.
    student_temperature: Softens the student's predictions. Above 0.
    soften_probabilities: Soften the probabilities, not their logarithms.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least; 0 for one class.

  Raises:
    AssertionError: if the shapes do not fit, the logits are not floating or the
      labels are not integers.

  References:
    Yuan et al., `Revisiting Knowledge Distillation via Label Smoothing
    Regularization <https://arxiv.org/abs/1909.11723>`_, 2020, section 5
    (Tf-KD_reg).
  """
  chex.assert_shape(labels, student_logits.shape[:-1])
  chex.assert_type([student_logits, labels], [float, int])
  classes = student_logits.shape[-1]
  student = numerics.at_least_float32(student_logits)
  virtual = jnp.where(
    log_space.is_target(labels, classes),
    jnp.asarray(confidence, student.dtype),
    jnp.asarray((1 - confidence) / max(classes - 1, 1), student.dtype),
  )
  scores = virtual if soften_probabilities else jnp.log(virtual)
  return log_space.kl_divergence(
    jax.nn.log_softmax(scores / temperature),
    jax.nn.log_softmax(student / student_temperature),
  )
