"""What transforms of losses that look at one example at a time share."""

from collections.abc import Callable, Mapping

import chex
import jax

from kdjax.transforms import base


def of_both(
  loss: Callable[[jax.Array, jax.Array, Mapping], jax.Array],
) -> base.LossTransform:
  """The batch mean of a loss of the logits of student and teacher.

  Args:
    loss: `(student_logits, teacher_logits, batch) -> losses`, `[batch, ...]`.

  Returns:
    A transform whose `init` raises ValueError unless both networks have the
    same number of classes.
  """

  def apply(student, teacher, batch):
    losses = loss(
      base.without_padding(student['logits'], batch),
      base.without_padding(teacher['logits'], batch),
      batch,
    )
    return base.batch_mean(losses, batch)

  return base.stateless(apply)._replace(init=init_same_classes)


def of_student(
  loss: Callable[[jax.Array, Mapping], jax.Array],
) -> base.LossTransform:
  """The batch mean of a loss of the student's logits; needs no teacher.

  Args:
    loss: `(student_logits, batch) -> losses`, `[batch, ...]`.
  """

  def apply(student, teacher, batch):
    del teacher
    logits = base.without_padding(student['logits'], batch)
    return base.batch_mean(loss(logits, batch), batch)

  return base.stateless(apply, student=('logits',))


def init_same_classes(
  key: chex.PRNGKey, student: base.Outputs, teacher: base.Outputs
) -> base.LossVariables:
  """Owns nothing; checks that both networks have the same classes."""
  del key
  base.check_same_classes(student, teacher)
  return base.LossVariables()
