"""Which outputs a loss reads, found by tracing it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kdjax.training import parallel
from kdjax.transforms import LossTransform


def read_by(
  loss: LossTransform,
  variables: Any,
  given: tuple[Mapping, Mapping, Mapping],
  devices: Sequence[jax.Device],
) -> tuple[dict, dict, dict]:
  """What a loss reads of the student's and teacher's outputs and the batch.

  Args:
    loss: Any loss; may name the devices' axis.
    variables: Shapes of what it owns.
    given: Shapes of student, teacher and batch by name, split over the devices,
      `[devices, n, ...]`.
    devices: As many.

  Returns:
    The three without what is not read.
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


class _Noted(Mapping):
  """Outputs that note which are read."""

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
