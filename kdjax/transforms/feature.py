"""Transforms of losses on what the networks compute inside."""

import jax
import jax.numpy as jnp

from kdjax.losses.feature.hints import hint_loss
from kdjax.transforms import base
from kdjax.transforms.connectors import Regressor


def hint(
  *,
  student: str,
  teacher: str,
  mean_squared: bool = False,
  batch_norm: bool = False,
  axis_name: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.hint_loss` through a regressor that trains with the student.

  The defaults are the paper's: half the squared norm, a convolutional
  regressor with the ReLU of the hint layer. Benchmark codebases use the mean
  of squares and a batch norm in the regressor; both have their keyword.

  Args:
    student: Name of the student's guided layer, `[batch, ..., channels]`.
    teacher: Name of the teacher's hint layer, of the same rank.
    mean_squared: The mean over all elements instead of half the sum.
    batch_norm: Batch norm before the regressor's ReLU.
    axis_name: Mapped axis over which that batch norm takes its statistics;
      None for each device's own examples.

  Raises:
    ValueError: from `init`, if there is no such tap (lists those there are) or
      the ranks or the numbers of tokens differ.

  References:
    Romero et al., `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, 2015, section 2.2.
  """

  def regressor(target: jax.Array) -> Regressor:
    return Regressor(
      shape=target.shape[1:], batch_norm=batch_norm, axis_name=axis_name
    )

  def init(key, student_outputs, teacher_outputs):
    base.check_name(student, student_outputs, 'student')
    base.check_name(teacher, teacher_outputs, 'teacher')
    source, target = student_outputs[student], teacher_outputs[teacher]
    if len(source.shape) != len(target.shape):
      raise ValueError(
        f'hint needs taps of one rank, got student {student!r} of shape '
        f'{source.shape} and teacher {teacher!r} of shape {target.shape}.'
      )
    if len(source.shape) != 4 and source.shape[1:-1] != target.shape[1:-1]:
      raise ValueError(
        f'hint needs as many tokens of either, got student {student!r} of '
        f'shape {source.shape} and teacher {teacher!r} of shape {target.shape}.'
      )
    zeros = jnp.zeros(source.shape, source.dtype)
    variables = dict(regressor(target).init(key, zeros))
    params = variables.pop('params')
    return base.LossVariables(params, variables)

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    target = base.without_padding(teacher_outputs[teacher], batch)
    regressed, state = regressor(target).apply(
      {'params': variables.params, **variables.state},
      base.without_padding(student_outputs[student], batch),
      mutable=list(variables.state),
    )
    losses = hint_loss(regressed, target, mean_squared=mean_squared)
    return base.batch_mean(losses, batch), dict(state), {}

  return base.LossTransform(init, apply)
