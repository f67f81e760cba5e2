"""Transforms of losses that couple the examples of a batch.

On several devices wrap them in `across_devices`, or each device compares its
own examples only, which is another loss.
"""

from collections.abc import Callable

import chex
import jax

from kdjax.losses.relation.angles import relational_angle_loss
from kdjax.losses.relation.distances import relational_distance_loss
from kdjax.transforms import base


def relational_distance(
  *, student: str = 'embedding', teacher: str = 'embedding'
) -> base.LossTransform:
  """`kdjax.losses.relational_distance_loss` of two taps, flattened.

  Args:
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.

  Raises:
    ValueError: from `init`, if there is no such tap; lists those there are.
  """
  return _relation(relational_distance_loss, student, teacher)


def relational_angle(
  *, student: str = 'embedding', teacher: str = 'embedding'
) -> base.LossTransform:
  """`kdjax.losses.relational_angle_loss` of two taps, flattened.

  Args:
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.

  Raises:
    ValueError: from `init`, if there is no such tap; lists those there are.
  """
  return _relation(relational_angle_loss, student, teacher)


def _relation(
  loss: Callable[..., jax.Array], student: str, teacher: str
) -> base.LossTransform:
  """A scalar loss of embeddings, with padding masked."""

  def apply(student_outputs, teacher_outputs, batch):
    return loss(
      _rows(student_outputs[student]),
      _rows(teacher_outputs[teacher]),
      mask=batch.get('weight'),
    )

  return base.stateless(apply, student=(student,), teacher=(teacher,))


def _rows(x: chex.Array) -> chex.Array:
  return x.reshape(x.shape[0], -1)
