"""Transforms of the task itself: the labels, and numbers to predict."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import optax

from kdjax import losses
from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space
from kdjax.transforms import base, stateless
from kdjax.transforms.response import per_example


def labels(
  *,
  student_logits: str = 'logits',
  mask: str | None = None,
  ignore: int | None = None,
  class_weights: Sequence[float] | None = None,
) -> base.LossTransform:
  """Cross-entropy of the student's predictions with `batch['label']`.

  Labels are integers `[batch, ...]`, or shares of the classes (one-hot, soft,
  mixed) of the shape of the logits, `[batch, ..., classes]`. A label outside
  the classes gives NaN.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(labels(), student, {}, label=jnp.array([0]))
  0.6931

  Args:
    student_logits: Name of the student's output that the loss reads.
    mask: Name of the batch's entry that is zero at positions to leave out.
    ignore: A label, such as -100 or 255, of positions to leave out.
    class_weights: One number per class, 0 or more, that multiplies the terms of
      the class. The mean is over the examples, not over their weights. None for
      equal weights.

  Raises:
    ValueError: if a weight is negative or not finite; when called, if there are
      not as many weights as classes.
  """
  weights = _checked_weights(class_weights)

  def loss(student, batch, valid):
    label = batch['label']
    contract.check_labels_or_shares(label, student)
    if weights is not None and len(weights) != student.shape[-1]:
      raise contract.RefusedError(
        'labels',
        f'class_weights must be {student.shape[-1]} numbers, one per class, '
        f'got {len(weights)}.',
      )
    shape = student.shape[:-1]
    valid = log_space.counted(valid, shape, label, ignore)
    if label.shape == student.shape:
      logits, keep = log_space.single(student, valid)
      if weights is not None:
        each = weights.reshape(*(1,) * (label.ndim - 1), -1)
        label = label.astype(logits.dtype) * each.astype(logits.dtype)
      found = log_space.label_cross_entropy(logits, keep, label)
      return log_space.of_positions(found, valid)
    logits, classes = numerics.at_least_float32(student), student.shape[-1]
    if valid is not None:
      logits = jnp.where(valid[..., None], logits, 0)
    found = optax.losses.softmax_cross_entropy_with_integer_labels(
      logits, label.clip(0, classes - 1)
    )
    if weights is not None:
      of_class = jnp.asarray(weights, found.dtype)
      found *= of_class[label.clip(0, classes - 1)]
    return log_space.of_positions(found, valid, label, classes)

  return per_example.of_student(
    loss, student_logits=student_logits, mask=mask, ignore=ignore
  )


def _checked_weights(
  class_weights: Sequence[float] | None,
) -> np.ndarray | None:
  if class_weights is None:
    return None
  weights = np.asarray(class_weights, np.float32)
  if weights.ndim != 1 or not np.all((weights >= 0) & np.isfinite(weights)):
    raise ValueError(
      'class_weights must be numbers of 0 or more, got '
      f'{np.asarray(class_weights).tolist()}.'
    )
  return weights


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
