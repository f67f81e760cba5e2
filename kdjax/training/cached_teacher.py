"""A teacher that runs once for every view of every example."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kdjax import data
from kdjax.models import Model
from kdjax.training import parallel

if TYPE_CHECKING:
  from kdjax.cache import Storage

# Returns the examples at places of the flattened batches, `[n, ...]` by name.
ExamplesAt = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class CachedTeacher:
  """The outputs of a teacher for numbered views of a source's examples.

  A separate program computes the outputs for a view on its first request, in
  batches of one size; later requests read them from the storages. The row of a
  view is `example * views.total + view`.

  Attributes:
    computed: Number of views that the teacher computed in this process.
    served: Number of views that were requested.
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
    """Binds a teacher to the storages of its outputs.

    Args:
      teacher: The teacher; runs in inference mode.
      variables: Variables of the teacher.
      views: The augmentation.
      storages: One storage by name for every output to keep.
      chunk: Number of views to compute at a time, rounded up to a multiple of
        the number of devices. All chunks have this size, so no output depends
        on the other missing views.
      devices: Devices to use; all devices of all processes by default.
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
    """Returns the teacher's outputs for views of examples.

    Args:
      indices: Positions in the source, `[...]`.
      views: Numbers of the views, of the same shape.
      examples_at: Returns the examples at places of the flattened `indices`.

    Returns:
      Arrays `[..., *shape of an output]` by name.
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
      # The last chunk repeats its views to fill up.
      chunk = np.resize(places[start : start + self._chunk], self._chunk)
      self._compute(rows[chunk], examples_at(chunk))
    self.computed += len(missing)

  def flush(self) -> None:
    """Makes computed outputs outlive the process, if the storages can."""
    for storage in self._storages.values():
      storage.flush()

  def largest_error(self, source: data.Source, count: int = 16) -> float:
    """Compares some kept outputs with the outputs that the teacher gives now.

    The error shows changes that no note records: other code, another platform.

    Args:
      source: The examples.
      count: Number of rows of every output to compare.

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
    # All calls have the same names, so JAX traces the program once.
    batch = {**examples, 'index': np.int32(rows // self.views.total)}
    batch.pop('weight', None)
    own = parallel.own_places(self._chunk, self._devices)
    share = jax.tree.map(lambda x: x[own], (numbers, batch))
    shard = parallel.shard(share, self._devices)
    return self._program(self._variables, (), shard)


def _shaped(values: Any, shape: tuple[int, ...]) -> Any:
  return values.reshape(*shape, *values.shape[1:])
