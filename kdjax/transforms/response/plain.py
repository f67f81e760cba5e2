"""Transforms of answers that are no classes: labels of many, and numbers."""

import jax.numpy as jnp
import optax

from kdjax import losses
from kdjax.losses import contract, numerics
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


def multi_labels(*, mask: str | None = None) -> base.LossTransform:
  """Binary cross-entropy with `batch['label']`, summed over the labels.

  Labels are 0 or 1, or shares between them, of the shape of the logits,
  `[batch, ..., labels]`.

  >>> student = {'logits': jnp.zeros((1, 2))}
  >>> value(multi_labels(), student, {}, label=jnp.array([[1, 0]]))
  1.3863

  Args:
    mask: Name of the batch's entry that is zero at positions to leave out.
  """

  def loss(student, batch, valid):
    label = batch['label']
    if label.shape != student.shape:
      raise contract.RefusedError(
        'multi_labels',
        f'label must have the shape of the logits, {list(student.shape)}, got '
        f'{list(label.shape)}; labels() takes one class of each example.',
      )
    logits = numerics.at_least_float32(student)
    if valid is not None:
      logits = jnp.where(jnp.asarray(valid).astype(bool)[..., None], logits, 0)
    found = optax.losses.sigmoid_binary_cross_entropy(
      logits, label.astype(logits.dtype)
    )
    return jnp.sum(found, axis=-1)

  return per_example.of_student(loss, mask=mask)


@accepts(temperature=contract.POSITIVE)
def multi_label_soft_targets(
  *, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.multi_label_soft_target_loss` on the logits.

  >>> logits = jnp.array([[2.0, 0.0, -1.0]])
  >>> term = multi_label_soft_targets()
  >>> value(term, {'logits': logits}, {'logits': 2 * logits})
  0.1399

  Args:
    temperature: Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of labels.
  """

  def loss(student, teacher, batch, valid):
    del batch
    return losses.multi_label_soft_target_loss(
      student, teacher, temperature=temperature, mask=valid
    )

  return per_example.of_both(loss, mask=mask)


def regression_labels(
  *, student: str = 'prediction', label: str = 'label'
) -> base.LossTransform:
  """Mean squared error of an output with an entry of the batch.

  >>> student = {'prediction': jnp.array([1.0, 2.0])}
  >>> value(regression_labels(), student, {}, label=jnp.array([1.0, 4.0]))
  2.0

  Args:
    student: Name of the student's output, `[batch, ...]`.
    label: Name of the batch's entry, of the same shape.

  Raises:
    ValueError: from `init`, if there is no such output; where the shapes
      differ, from `apply`.
  """

  def apply(student_outputs, teacher_outputs, batch):
    del teacher_outputs
    output, target = student_outputs[student], batch[label]
    if output.shape != target.shape:
      raise contract.RefusedError(
        'regression_labels',
        f'{label} must have the shape of {student}, {list(output.shape)}, got '
        f'{list(target.shape)}.',
      )
    found = losses.hint_loss(
      base.without_padding(output, batch),
      base.without_padding(target.astype(output.dtype), batch),
      mean_squared=True,
    )
    return base.batch_mean(found, batch)

  return stateless.stateless(apply, student=(student,), couples=False)


def regression_targets(
  *, student: str = 'prediction', teacher: str = 'prediction'
) -> base.LossTransform:
  """Mean squared error of the student's output with the teacher's.

  What soft targets are to a classifier, for networks that answer with numbers:
  no regressor stands between them.

  >>> student = {'prediction': jnp.array([1.0, 2.0])}
  >>> teacher = {'prediction': jnp.array([1.0, 4.0])}
  >>> value(regression_targets(), student, teacher)
  2.0

  Args:
    student: Name of the student's output, `[batch, ...]`.
    teacher: Name of the teacher's, of the same shape.

  Raises:
    ValueError: from `init`, if there is no such output.
  """

  def apply(student_outputs, teacher_outputs, batch):
    found = losses.hint_loss(
      base.without_padding(student_outputs[student], batch),
      base.without_padding(teacher_outputs[teacher], batch),
      mean_squared=True,
    )
    return base.batch_mean(found, batch)

  return stateless.stateless(
    apply, student=(student,), teacher=(teacher,), couples=False
  )
