"""Means of losses that look at one example at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax

from kdjax.losses.response import log_space
from kdjax.transforms import axes, base, stateless

# (logits of the student, and of the teacher, batch, mask) -> losses.
Loss = Callable[..., jax.Array]


def of_student(
  loss: Callable[[jax.Array, Mapping, chex.Array | None], jax.Array],
  *,
  student_logits: str = 'logits',
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """The mean of a loss of the student's logits; needs no teacher.

  Args:
    loss: `(student_logits, batch, mask) -> losses`, `[...]`.
    student_logits: Name of the student's output that the loss reads.
    mask: As for `averaged`.
    ignore: Likewise.
  """

  def losses(outputs, teacher, batch, valid):
    del teacher
    logits = base.without_padding(outputs[student_logits], batch)
    return loss(logits, batch, valid)

  init = stateless.owning_nothing(student=(student_logits,))
  return averaged(losses, init, mask=mask, ignore=ignore)


def averaged(
  loss: Loss,
  init: Callable[..., base.LossVariables],
  *,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """The mean of losses over the positions that count.

  Args:
    loss: `(student, teacher, batch, mask) -> losses`; or several by name, of
      which the value is the one named `loss`, the others metrics.
    init: Of the transform.
    mask: Name of the batch's entry that is zero at positions to leave out, or
      None.
    ignore: A label of positions to leave out, or None.
  """

  def build(axis_name):
    def apply(variables, student, teacher, batch, step):
      del step
      given = None if mask is None else batch[mask]
      found: Any = loss(student, teacher, batch, given)
      found = found if isinstance(found, dict) else {'loss': found}
      means = {
        name: base.batch_mean(
          losses, batch, _valid(given, losses, batch, ignore), axis_name
        )
        for name, losses in found.items()
      }
      value = means.pop('loss')
      return value, variables.state, means

    return init, apply

  return axes.synchronised(build)


def _valid(mask, losses, batch, ignore) -> jax.Array | None:
  """Which positions the mean is over; None for all."""
  labels = batch['label'] if ignore is not None else None
  return log_space.counted(mask, losses.shape, labels, ignore)
