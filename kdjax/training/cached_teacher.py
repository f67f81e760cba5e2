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

# Images at these places of the flattened batches, uint8 `[n, h, w, c]`.
Images = Callable[[np.ndarray], np.ndarray]
# uint8 images -> float images.
Normalise = Callable[[jax.Array], jax.Array]


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
    normalise: Normalise,
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
      normalise: `uint8 images -> float images`, pure.
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
      numbers, images = shard
      outputs, _ = teacher.apply(
        variables, normalise(views.render(numbers, images))
      )
      return {
        name: jax.lax.all_gather(outputs[name], parallel.AXIS, tiled=True)
        for name in self._storages
      }

    self._program = parallel.spread(on_device, devices)
    self._variables = parallel.replicate(variables, devices)

  def outputs(
    self, indices: np.ndarray, views: np.ndarray, images: Images
  ) -> dict[str, Any]:
    """The teacher's outputs for these views of these examples.

    Args:
      indices: Positions in the source, `[...]`.
      views: Numbers of views, of the same shape.
      images: Gives the images at places of the flattened `indices`.

    Returns:
      By name, arrays `[..., *shape of an output]`.
    """
    rows = np.int64(indices).ravel() * self.views.total + views.ravel()
    self.served += rows.size
    self._compute_missing(rows, images)
    return {
      name: _shaped(storage.read(rows), indices.shape)
      for name, storage in self._storages.items()
    }

  def _compute_missing(self, rows: np.ndarray, images: Images) -> None:
    there = [storage.has(rows) for storage in self._storages.values()]
    new = np.flatnonzero(~np.logical_and.reduce(there))
    missing, first = np.unique(rows[new], return_index=True)
    places = new[first]
    for start in range(0, len(missing), self._chunk):
      # The last chunk is filled up with what it holds already.
      chunk = np.resize(places[start : start + self._chunk], self._chunk)
      self._compute(rows[chunk], images(chunk))
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
        images = source.fetch(chunk // self.views.total)['image']
        answers = np.asarray(self._run(chunk, images)[name], np.float64)
        now = answers[: len(rows)]
        kept = np.asarray(storage.read(rows), np.float64)
        scale = max(np.abs(now).max(), np.finfo(np.float32).tiny)
        worst = max(worst, float(np.abs(now - kept).max() / scale))
    return worst

  def _compute(self, rows: np.ndarray, images: np.ndarray) -> None:
    outputs = self._run(rows, images)
    for name, storage in self._storages.items():
      storage.write(rows, outputs[name])

  def _run(self, rows: np.ndarray, images: np.ndarray) -> dict[str, jax.Array]:
    numbers = np.int32(rows % self.views.total)
    shard = parallel.shard((numbers, images), self._devices)
    return self._program(self._variables, (), shard)


def _shaped(values: Any, shape: tuple[int, ...]) -> Any:
  return values.reshape(*shape, *values.shape[1:])
