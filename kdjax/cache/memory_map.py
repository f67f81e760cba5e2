"""Rows in a file that is mapped into memory."""

import pathlib

import jax
import numpy as np

from kdjax.cache.note import CacheError
from kdjax.cache.storage import row_bytes


class MemoryMap:
  """A `Storage` in two files, of which the system keeps in memory what it can.

  `NAME.values` holds the rows and `NAME.filled` a byte for each, written after
  them: of what a crash cut short nothing is believed. The files are sparse
  where the file system allows, and so take space only for rows that are there.
  """

  def __init__(
    self,
    directory: str | pathlib.Path,
    name: str,
    rows: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    kept_as: np.dtype | None = None,
  ):
    """Opens the files, or makes them.

    Args:
      directory: Made if it is not there.
      name: Of the files.
      rows: How many there may be.
      shape: Of one row.
      dtype: Of what is written and read.
      kept_as: Of what lies in the file, `dtype` by default.

    Raises:
      CacheError: if the files are there and have another size.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    self._dtype = np.dtype(dtype)
    kept = np.dtype(kept_as or dtype)
    stem = f'{name}-{kept.name}'
    size = rows * row_bytes(shape, kept)
    self._file = _map(directory / f'{stem}.values', size, kept)
    self._values = self._file.reshape(rows, *shape)
    self._filled = _map(directory / f'{stem}.filled', rows, np.dtype(np.uint8))
    self._has = np.array(self._filled, bool)
    self._new: list[np.ndarray] = []

  def has(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._has[rows]

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """See `Storage`."""
    self._values[rows] = np.asarray(values).astype(self._values.dtype)
    self._has[rows] = True
    self._new.append(rows)

  def read(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._values[rows].astype(self._dtype)

  def flush(self) -> None:
    """See `Storage`; the values first, then that they are there."""
    if not self._new:
      return
    self._file.flush()
    self._filled[np.concatenate(self._new)] = 1
    self._filled.flush()
    self._new.clear()


def _map(path: pathlib.Path, size: int, dtype: np.dtype) -> np.memmap:
  """The file as a vector of numbers; of zeros if it is new."""
  if not path.exists():
    with open(path, 'xb') as file:
      file.truncate(size)
  if path.stat().st_size != size:
    raise CacheError(
      f'{str(path)!r} has {path.stat().st_size} bytes, not {size}; remove it, '
      'it will be computed again'
    )
  return np.memmap(path, dtype, mode='r+')
