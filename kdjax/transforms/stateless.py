"""Transforms that own nothing: losses of named outputs."""

from collections.abc import Callable, Mapping

import chex
import jax

from kdjax.transforms import axes, base

Losses = Callable[[base.Outputs, base.Outputs, Mapping], jax.Array]


def stateless(
  apply: Losses,
  *,
  student: tuple[str, ...] = (),
  teacher: tuple[str, ...] = (),
  couples: bool = True,
  init: Callable[..., base.LossVariables] | None = None,
) -> base.LossTransform:
  """A transform without parameters or state.

  >>> def gap(student, teacher, batch):
  ...   return jnp.mean(student['logits'] - teacher['logits'])
  >>> term = stateless(gap, student=('logits',), teacher=('logits',))
  >>> value(term, {'logits': jnp.ones((1, 3))}, {'logits': jnp.zeros((1, 3))})
  1.0

  Args:
    apply: `(student, teacher, batch) -> scalar`.
    student: Names that the student's outputs must have; checked by `init`.
    teacher: Likewise for the teacher's outputs.
    couples: Whether the examples of the batch meet in it, so that several
      devices must gather them. False for a mean over examples.
    init: Instead of the check of the names.
  """

  def apply_stateless(variables, student_outputs, teacher_outputs, batch, step):
    del step
    value = apply(student_outputs, teacher_outputs, batch)
    return value, variables.state, {}

  init = init or owning_nothing(student, teacher)
  make = axes.coupled if couples else axes.per_example
  return make(init, apply_stateless)


def owning_nothing(
  student: tuple[str, ...] = (), teacher: tuple[str, ...] = ()
) -> Callable[..., base.LossVariables]:
  """An `init` that checks that there are such outputs."""

  def init(key, student_outputs, teacher_outputs):
    del key
    for name in student:
      base.check_name(name, student_outputs, 'student')
    for name in teacher:
      base.check_name(name, teacher_outputs, 'teacher')
    return base.LossVariables()

  return init


def of_same_classes(
  key: chex.PRNGKey,
  student: base.Outputs,
  teacher: base.Outputs,
  *,
  names: tuple[str, str] = ('logits', 'logits'),
) -> base.LossVariables:
  """An `init` that checks that both networks have the same classes."""
  del key
  base.check_same_classes(student, teacher, names)
  return base.LossVariables()
