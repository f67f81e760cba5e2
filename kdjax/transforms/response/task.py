"""Transforms that need labels and no teacher."""

import optax

from kdjax.losses.numerics import at_least_float32
from kdjax.losses.response.label_smoothing import (
  label_smoothing_loss,
  teacher_free_loss,
)
from kdjax.transforms import base
from kdjax.transforms.response import checks, per_example


def labels() -> base.LossTransform:
  """Cross-entropy of the student's predictions with `batch['label']`."""

  def apply(student, teacher, batch):
    del teacher
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
      at_least_float32(student['logits']), batch['label']
    )
    return base.batch_mean(losses, batch)

  return base.stateless(apply, student=('logits',))


def label_smoothing(
  *, smoothing: float = 0.1, over_other_classes: bool = False
) -> base.LossTransform:
  """`kdjax.losses.label_smoothing_loss`, in place of `labels`, at weight 1.

  Args:
    smoothing: Weight of the uniform distribution, 0 to 1.
    over_other_classes: Leave the label out of the uniform distribution.

  Raises:
    ValueError: if `smoothing` is not from 0 to 1.

  References:
    Szegedy et al., `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_, 2016, section 7.
  """
  checks.check_fraction('smoothing', smoothing)

  def loss(student, batch):
    return label_smoothing_loss(
      student,
      batch['label'],
      smoothing=smoothing,
      over_other_classes=over_other_classes,
    )

  return per_example.of_student(loss)


def teacher_free(
  *,
  temperature: float = 20.0,
  confidence: float = 0.99,
  student_temperature: float = 1.0,
  soften_probabilities: bool = True,
) -> base.LossTransform:
  """`kdjax.losses.teacher_free_loss` (Tf-KD), a teacher made of the labels.

  The authors weight it 0.1, beside 0.9 of `labels`.

  Args:
    temperature: Softens the virtual teacher. Above 0.
    confidence: Its probability of the label before that, 0 to 1.
    student_temperature: Softens the student's predictions. Above 0.
    soften_probabilities: Soften the probabilities, not their logarithms.

  Raises:
    ValueError: if a temperature is not positive or `confidence` is not from 0
      to 1.

  References:
    Yuan et al., `Revisiting Knowledge Distillation via Label Smoothing
    Regularization <https://arxiv.org/abs/1909.11723>`_, 2020, section 5.
  """
  base.check_positive('temperature', temperature)
  base.check_positive('student_temperature', student_temperature)
  checks.check_fraction('confidence', confidence)

  def loss(student, batch):
    return teacher_free_loss(
      student,
      batch['label'],
      temperature=temperature,
      confidence=confidence,
      student_temperature=student_temperature,
      soften_probabilities=soften_probabilities,
    )

  return per_example.of_student(loss)
