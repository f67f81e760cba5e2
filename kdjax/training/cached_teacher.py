"""A teacher that looks at every view of every example once."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kdjax import data
from kdjax.models import Model
from kdjax.training import parallel

if TYPE_CHECKING:
  from kdjax.cache import Storage

# The examples at these places of the flattened batches, by name `[n, ...]`.
ExamplesAt = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class CachedTeacher:
  """The outputs of a teacher for numbered views of a source's examples.

  A view is computed when it is first asked for, in batches of one size, by a
  program of its own; afterwards it is read. Its row is
  `example * views.total + view`.

  Attributes:
    computed: Views that the teacher has looked at in this process.
    served: Views that were asked for.
  """

  def __init__(
    self,
    teacher: Model,
    variables: Any,
    views: data.Views,
    storages: 'Mapping[str, Storage]',
    *,
    chunk: int,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Binds a teacher to where its outputs are kept.

    Args:
      teacher: Runs in inference mode.
      variables: Its variables.
      views: The augmentation.
      storages: One for every output of the teacher that is wanted, by name.
      chunk: Views to compute at a time; rounded up to what the devices divide.
        Always as many, so that no output depends on what else was missing.
      devices: All local devices by default.
    """
    self.computed = self.served = 0
    self.views = views
    self._storages = dict(storages)
    count = parallel.device_count(devices)
    self._chunk, self._devices = -(-chunk // count) * count, devices

    def on_device(variables, shared, shard):
      del shared
      numbers, examples = shard
      outputs, _ = teacher.apply(variables, views.render(numbers, examples))
      return {
        name: jax.lax.all_gather(outputs[name], parallel.AXIS, tiled=True)
        for name in self._storages
      }

    self._program = parallel.spread(on_device, devices)
    self._variables = parallel.replicate(variables, devices)

  def outputs(
    self, indices: np.ndarray, views: np.ndarray, examples_at: ExamplesAt
  ) -> dict[str, Any]:
    """The teacher's outputs for these views of these examples.

    Args:
      indices: Positions in the source, `[...]`.
      views: Numbers of views, of the same shape.
      examples_at: Gives the examples at places of the flattened `indices`.

    Returns:
      By name, arrays `[..., *shape of an output]`.
    """
    rows = np.int64(indices).ravel() * self.views.total + views.ravel()
    self.served += rows.size
    self._compute_missing(rows, examples_at)
    return {
      name: _shaped(storage.read(rows), indices.shape)
      for name, storage in self._storages.items()
    }

  def _compute_missing(self, rows: np.ndarray, examples_at: ExamplesAt) -> None:
    there = [storage.has(rows) for storage in self._storages.values()]
    new = np.flatnonzero(~np.logical_and.reduce(there))
    missing, first = np.unique(rows[new], return_index=True)
    places = new[first]
    for start in range(0, len(missing), self._chunk):
      # The last chunk is filled up with what it holds already.
      chunk = np.resize(places[start : start + self._chunk], self._chunk)
      self._compute(rows[chunk], examples_at(chunk))
    self.computed += len(missing)

  def flush(self) -> None:
    """What was computed outlives the process, where the storages can."""
    for storage in self._storages.values():
      storage.flush()

  def largest_error(self, source: data.Source, count: int = 16) -> float:
    """How far some of what is kept is from what the teacher says now.

    It notices what no name in a note tells: other code, another platform.

    Args:
      source: The examples.
      count: How many rows of every output are compared.

    Returns:
      The largest difference, as a share of the output's largest value.
    """
    worst = 0.0
    for name, storage in self._storages.items():
      rows = storage.some(min(count, self._chunk))
      if len(rows):
        chunk = np.resize(rows, self._chunk)
        examples = source.fetch(chunk // self.views.total)
        answers = np.asarray(self._run(chunk, examples)[name], np.float64)
        now = answers[: len(rows)]
        kept = np.asarray(storage.read(rows), np.float64)
        scale = max(np.abs(now).max(), np.finfo(np.float32).tiny)
        worst = max(worst, float(np.abs(now - kept).max() / scale))
    return worst

  def _compute(self, rows: np.ndarray, examples: Mapping) -> None:
    outputs = self._run(rows, examples)
    for name, storage in self._storages.items():
      storage.write(rows, outputs[name])

  def _run(self, rows: np.ndarray, examples: Mapping) -> dict[str, jax.Array]:
    numbers = np.int32(rows % self.views.total)
    # The same names wherever the examples come from: one trace.
    batch = {**examples, 'index': np.int32(rows // self.views.total)}
    batch.pop('weight', None)
    own = parallel.own_places(self._chunk, self._devices)
    share = jax.tree.map(lambda x: x[own], (numbers, batch))
    shard = parallel.shard(share, self._devices)
    return self._program(self._variables, (), shard)


def _shaped(values: Any, shape: tuple[int, ...]) -> Any:
  return values.reshape(*shape, *values.shape[1:])
