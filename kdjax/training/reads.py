"""The outputs that a loss reads, found by tracing the loss."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kdjax.models import Model
from kdjax.training import parallel
from kdjax.transforms import LossTransform


def read_by(
  loss: LossTransform,
  variables: Any,
  given: tuple[Mapping, Mapping, Mapping],
  devices: Sequence[jax.Device] | None,
) -> tuple[dict, dict, dict]:
  """Returns the inputs that a loss reads.

  Args:
    loss: Any loss; may name the devices' axis.
    variables: Shapes of the loss's variables.
    given: Shapes of the student's outputs, the teacher's outputs and the batch
      by name, split over the devices, `[devices, n, ...]`.
    devices: The devices; None for all devices of all processes.

  Returns:
    `given` without the arrays that the loss does not read.
  """
  names: list[set[str]] = [set(), set(), set()]

  def note(variables, step, given):
    noted = [_Noted(*pair) for pair in zip(given, names, strict=True)]
    return loss.apply(variables, *noted, step)[0]

  step = jax.ShapeDtypeStruct((), jnp.int32)
  jax.eval_shape(parallel.spread(note, devices), variables, step, given)
  student, teacher, batch = (
    {name: values[name] for name in sorted(read)}
    for values, read in zip(given, names, strict=True)
  )
  return student, teacher, batch


def of_teacher(
  losses: Iterable[LossTransform],
  student: Model,
  teacher: Model,
  batch: Mapping[str, jax.ShapeDtypeStruct],
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of the teacher's outputs that any loss reads.

  Args:
    losses: Losses of one or several stages of a method.
    student: The student.
    teacher: The teacher.
    batch: Shapes and dtypes of a batch.
  """

  def outputs(model):
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    return jax.eval_shape(model.apply, variables, batch)[0]

  both = outputs(student), outputs(teacher)
  given = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), (*both, dict(batch))
  )
  read: dict[str, jax.ShapeDtypeStruct] = {}
  for loss in losses:
    init = functools.partial(loss.init, jax.random.key(0))
    owned = jax.eval_shape(init, *both)
    found = read_by(loss, owned, given, jax.local_devices()[:1])
    read |= {name: both[1][name] for name in found[1]}
  return read


class _Noted(Mapping):
  """Outputs that record the names that are read."""

  def __init__(self, outputs: Mapping[str, Any], read: set[str]):
    self._outputs, self._read = outputs, read

  def __getitem__(self, name: str) -> Any:
    value = self._outputs[name]
    self._read.add(name)
    return value

  def __contains__(self, name: object) -> bool:
    return name in self._outputs

  def __iter__(self) -> Iterator[str]:
    return iter(self._outputs)

  def __len__(self) -> int:
    return len(self._outputs)
