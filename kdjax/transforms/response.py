"""Transforms of losses on what the networks answer."""

import optax

from kdjax.losses.numerics import at_least_float32
from kdjax.losses.response.soft_targets import soft_target_loss
from kdjax.transforms import base


def labels() -> base.LossTransform:
  """Cross-entropy of the student's predictions with `batch['label']`."""

  def apply(student, teacher, batch):
    del teacher
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
      at_least_float32(student['logits']), batch['label']
    )
    return base.batch_mean(losses, batch)

  return base.stateless(apply, student=('logits',))


def soft_targets(*, temperature: float = 4.0) -> base.LossTransform:
  """`kdjax.losses.soft_target_loss` on the logits.

  Args:
    temperature: Above 0. The default is what the field uses on CIFAR.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.
  """
  base.check_positive('temperature', temperature)

  def init(key, student, teacher):
    del key
    base.check_same_classes(student, teacher)
    return base.LossVariables()

  def apply(student, teacher, batch):
    losses = soft_target_loss(
      student['logits'], teacher['logits'], temperature=temperature
    )
    return base.batch_mean(losses, batch)

  return base.stateless(apply)._replace(init=init)
