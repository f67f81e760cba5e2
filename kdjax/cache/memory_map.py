"""Rows in a file that is mapped into memory."""

import os
import pathlib

import jax
import numpy as np

from kdjax.cache.note import CacheError, create, locked
from kdjax.cache.storage import row_bytes, spread_out


class MemoryMap:
  """A `Storage` in two files; the system keeps parts of them in memory.

  `NAME.values` holds the rows. `NAME.filled` holds one byte per row, which is
  written when the row is on disk, so rows that a crash cut short are computed
  again. If either file is missing, no row counts as written. The files are
  sparse where the file system allows it, so only written rows take space.
  Several processes may use the files at once.
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
    """Opens the files, or creates them.

    Args:
      directory: Directory of the files; created if it is missing.
      name: Name of the files.
      rows: Number of rows that fit into the files.
      shape: Shape of one row.
      dtype: Dtype of the rows in `write` and `read`.
      kept_as: Dtype of the rows in the file, `dtype` by default.

    Raises:
      CacheError: if the files exist with another size.
    """
    directory = pathlib.Path(directory)
    self._dtype = np.dtype(dtype)
    kept = np.dtype(kept_as or dtype)
    stem = directory / f'{name}-{kept.name}'
    values, filled = (
      stem.with_name(f'{stem.name}.{end}') for end in ('values', 'filled')
    )
    self._row_bytes = row_bytes(shape, kept)
    with locked(directory):
      if not values.exists():
        filled.unlink(missing_ok=True)
      self._values_file = _opened(values, rows * self._row_bytes)
      self._filled_file = _opened(filled, rows)
    # The map is read-only: a write to a map on a full disk ends the process.
    flat = np.memmap(values, kept, mode='r')
    self._values = flat.reshape(rows, *shape)
    self._has = np.fromfile(filled, np.uint8).astype(bool)
    self._new: list[np.ndarray] = []

  def has(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._has[rows]

  def some(self, count: int) -> np.ndarray:
    """See `Storage`."""
    return spread_out(self._has, count)

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """See `Storage`."""
    kept = np.ascontiguousarray(values).astype(self._values.dtype)
    for row, value in zip(rows.tolist(), kept, strict=True):
      _write(self._values_file, value.tobytes(), row * self._row_bytes)
    self._has[rows] = True
    self._new.append(rows)

  def read(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._values[rows].astype(self._dtype, copy=False)

  def flush(self) -> None:
    """See `Storage`; writes the values first, then the flags of their rows."""
    if not self._new:
      return
    os.fsync(self._values_file)
    for row in np.unique(np.concatenate(self._new)).tolist():
      _write(self._filled_file, b'\1', row)
    os.fsync(self._filled_file)
    self._new.clear()


def _opened(path: pathlib.Path, size: int) -> int:
  """Returns a descriptor of the file; a new file holds zeros."""
  if not path.exists():
    create(path, size=size)
  if path.stat().st_size != size:
    raise CacheError(
      f'{str(path)!r} has {path.stat().st_size} bytes, not {size}; remove it, '
      'then its rows are computed again'
    )
  return os.open(path, os.O_RDWR)


def _write(file: int, content: bytes, place: int) -> None:
  try:
    done = os.pwrite(file, content, place)
  except OSError as error:
    raise CacheError(f"cannot write a teacher's outputs: {error}") from error
  if done < len(content):
    raise CacheError("cannot write a teacher's outputs: the disk is full")
