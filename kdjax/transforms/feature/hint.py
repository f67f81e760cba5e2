"""Hints: the student's guided layer regresses the teacher's hint layer."""

import jax
import jax.numpy as jnp

from kdjax.losses.feature.hints import hint_loss
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import Regressor
from kdjax.transforms.feature import binding


def hint(
  *,
  student: str,
  teacher: str,
  mean_squared: bool = False,
  batch_norm: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.hint_loss` through a regressor that trains with the student.

  The defaults are the paper's: half the squared norm, a convolutional
  regressor with the ReLU of the hint layer. Benchmark codebases use the mean
  of squares and a batch norm in the regressor; both have their keyword.

  >>> student = {'stage1': jnp.ones((2, 8, 8, 3))}
  >>> teacher = {'stage2': jnp.ones((2, 6, 6, 5))}
  >>> shapes(hint(student='stage1', teacher='stage2'), student, teacher)
  [(5,), (3, 3, 3, 5)]

  Args:
    student: Name of the student's guided layer, `[batch, ..., channels]`.
    teacher: Name of the teacher's hint layer, of the same rank.
    mean_squared: The mean over all elements instead of half the sum.
    batch_norm: Batch norm before the regressor's ReLU.

  Raises:
    ValueError: from `init`, if there is no such tap (lists those there are) or
      the ranks or the numbers of tokens differ.

  References:
    Romero et al., `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, 2015, section 2.2.
  """

  def regressor(target: jax.Array, axis_name: str | None) -> Regressor:
    return Regressor(
      shape=target.shape[1:], batch_norm=batch_norm, axis_name=axis_name
    )

  def init(key, student_outputs, teacher_outputs):
    base.check_name(student, student_outputs, 'student')
    base.check_name(teacher, teacher_outputs, 'teacher')
    source, target = student_outputs[student], teacher_outputs[teacher]
    _check_shapes(student, source.shape, teacher, target.shape)
    zeros = jnp.zeros(source.shape, source.dtype)
    variables = dict(regressor(target, None).init(key, zeros))
    params = variables.pop('params')
    return base.LossVariables(params, variables)

  def build(axis_name):
    def apply(variables, student_outputs, teacher_outputs, batch, step):
      del step
      target = binding.read(teacher_outputs, teacher, batch)
      regressed, state = regressor(target, axis_name).apply(
        {'params': variables.params, **variables.state},
        binding.read(student_outputs, student, batch),
        batch.get('weight'),
        mutable=list(variables.state),
      )
      losses = hint_loss(regressed, target, mean_squared=mean_squared)
      return base.batch_mean(losses, batch), dict(state), {}

    return init, apply

  return axes.synchronised(build)


def _check_shapes(student: str, source: tuple, teacher: str, target: tuple):
  """Raises ValueError unless a regressor can lead from one to the other."""
  shapes = (
    f'student {student!r} of shape {source} and teacher {teacher!r} of shape '
    f'{target}.'
  )
  if len(source) != len(target):
    raise ValueError(f'hint needs taps of one rank, got {shapes}')
  if len(source) != 4 and source[1:-1] != target[1:-1]:
    raise ValueError(f'hint needs as many tokens of either, got {shapes}')
