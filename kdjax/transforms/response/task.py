"""Transforms that need labels and no teacher."""

import jax.numpy as jnp
import optax

from kdjax import losses
from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space
from kdjax.transforms import base
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


def labels(
  *, mask: str | None = None, ignore: int | None = None
) -> base.LossTransform:
  """Cross-entropy of the student's predictions with `batch['label']`.

  Labels are integers `[batch, ...]`, or shares of the classes (one-hot, soft,
  mixed) of the shape of the logits, `[batch, ..., classes]`. A label outside
  the classes gives NaN.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(labels(), student, {}, label=jnp.array([0]))
  0.6931

  Args:
    mask: Name of the batch's entry that is zero at positions to leave out.
    ignore: A label, such as -100 or 255, of positions to leave out.
  """

  def loss(student, batch, valid):
    label = batch['label']
    contract.check_labels_or_shares(label, student)
    shape = student.shape[:-1]
    valid = log_space.counted(valid, shape, label, ignore)
    if label.shape == student.shape:
      logits, keep = log_space.single(student, valid)
      found = log_space.label_cross_entropy(logits, keep, label)
      return log_space.of_positions(found, valid)
    logits, classes = numerics.at_least_float32(student), student.shape[-1]
    if valid is not None:
      logits = jnp.where(valid[..., None], logits, 0)
    found = optax.losses.softmax_cross_entropy_with_integer_labels(
      logits, label.clip(0, classes - 1)
    )
    return log_space.of_positions(found, valid, label, classes)

  return per_example.of_student(loss, mask=mask, ignore=ignore)


@accepts(smoothing=contract.FRACTION)
def label_smoothing(
  *,
  smoothing: Number = 0.1,
  over_other_classes: bool = False,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.label_smoothing_loss`, in place of `labels`, at weight 1.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(label_smoothing(), student, {}, label=jnp.array([0]))
  0.7407

  Args:
    smoothing: Weight of the uniform distribution, 0 to 1.
    over_other_classes: Leave the label out of the uniform distribution.
    mask: As for `labels`.
    ignore: As for `labels`.

  Raises:
    ValueError: if `smoothing` is not from 0 to 1.

  References:
    Szegedy et al., `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_, 2016, section 7.
  """

  def loss(student, batch, valid):
    return losses.label_smoothing_loss(
      student,
      batch['label'],
      smoothing=smoothing,
      over_other_classes=over_other_classes,
      ignore=ignore,
      mask=valid,
    )

  return per_example.of_student(loss, mask=mask, ignore=ignore)


@accepts(
  temperature=contract.POSITIVE,
  confidence=contract.FRACTION,
  student_temperature=contract.POSITIVE,
)
def teacher_free(
  *,
  temperature: Number = 20.0,
  confidence: Number = 0.99,
  student_temperature: Number = 1.0,
  soften_probabilities: bool = True,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.teacher_free_loss` (Tf-KD), a teacher made of the labels.

  The authors weight it 0.1, beside 0.9 of `labels`.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(teacher_free(), student, {}, label=jnp.array([0]))
  0.0626

  Args:
    temperature: Softens the virtual teacher. Above 0.
    confidence: Its probability of the label before that, 0 to 1.
    student_temperature: Softens the student's predictions. Above 0.
    soften_probabilities: Soften the probabilities, not their logarithms.
    mask: As for `labels`.
    ignore: As for `labels`.

  Raises:
    ValueError: if a temperature is not positive or `confidence` is not from 0
      to 1.

  References:
    Yuan et al., `Revisiting Knowledge Distillation via Label Smoothing
    Regularization <https://arxiv.org/abs/1909.11723>`_, 2020, section 5.
  """

  def loss(student, batch, valid):
    return losses.teacher_free_loss(
      student,
      batch['label'],
      temperature=temperature,
      confidence=confidence,
      student_temperature=student_temperature,
      soften_probabilities=soften_probabilities,
      ignore=ignore,
      mask=valid,
    )

  return per_example.of_student(loss, mask=mask, ignore=ignore)
