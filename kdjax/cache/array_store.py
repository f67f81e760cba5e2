"""Rows on disk in chunks; no other file names tensorstore.

Orbax depends on TensorStore already, so it is no new dependency.
"""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from kdjax.cache.note import CacheError, locked
from kdjax.cache.storage import row_bytes, spread_out

_CHUNK_BYTES = 64 * 2**10
_FLAGS_PER_CHUNK = 64 * 2**10
# Rows come in random order and TensorStore writes whole chunks, so `flush`
# writes many rows at a time.
_LARGEST_PENDING = 2**16


class ArrayStore:
  """A `Storage` of two compressed Zarr 3 arrays; each chunk has a checksum.

  It suits data too large for a memory map. Written rows stay in memory until
  `flush`, or until there are `_LARGEST_PENDING` rows.
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
    """Opens the arrays, or creates them.

    Args:
      directory: Directory of the arrays; created if it is missing.
      name: Name of the arrays.
      rows: Number of rows that fit into the arrays.
      shape: Shape of one row.
      dtype: Dtype of the rows in `write` and `read`; floating or signed.
      kept_as: Dtype of the rows on disk, `dtype` by default.

    Raises:
      CacheError: if the arrays exist with another shape or dtype.
    """
    self._dtype, self._kept_as = np.dtype(dtype), np.dtype(kept_as or dtype)
    directory = pathlib.Path(directory).absolute()
    stem = f'{name}-{self._kept_as.name}'
    values, filled = (
      directory / f'{stem}.{end}.zarr' for end in ('values', 'filled')
    )
    chunk = max(1, _CHUNK_BYTES // max(1, row_bytes(shape, self._kept_as)))
    # A lost chunk reads as this value, which no teacher returns.
    self._absent = -1 if np.issubdtype(self._kept_as, np.integer) else 'NaN'
    with locked(directory):
      if not values.exists():
        shutil.rmtree(filled, ignore_errors=True)
      self._values = _open(
        values, (rows, *shape), self._kept_as, min(chunk, rows), self._absent
      )
      self._filled = _open(
        filled, (rows,), np.dtype(np.uint8), min(_FLAGS_PER_CHUNK, rows), 0
      )
    self._has = np.array(_done(self._filled.read), bool)
    self._pending: dict[int, np.ndarray] = {}

  def has(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._has[rows]

  def some(self, count: int) -> np.ndarray:
    """See `Storage`."""
    return spread_out(self._has, count)

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """See `Storage`."""
    kept = np.asarray(values).astype(self._kept_as)
    self._pending.update(zip(rows.tolist(), kept, strict=True))
    self._has[rows] = True
    if len(self._pending) >= _LARGEST_PENDING:
      self.flush()

  def read(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`.

    Raises:
      CacheError: if a chunk is damaged or missing.
    """
    pending = [row in self._pending for row in rows.tolist()]
    stored = ~np.array(pending, bool)
    values = np.empty((len(rows), *self._values.shape[1:]), self._kept_as)
    if stored.any():
      values[stored] = _done(lambda: self._values[rows[stored]].read())
      self._check_present(values[stored])
    for place in np.flatnonzero(pending):
      values[place] = self._pending[int(rows[place])]
    return values.astype(self._dtype, copy=False)

  def flush(self) -> None:
    """See `Storage`; writes the values first, then the flags of their rows."""
    if not self._pending:
      return
    rows = np.array(sorted(self._pending))
    values = np.stack([self._pending[row] for row in rows.tolist()])
    _done(lambda: self._values[rows].write(values))
    _done(lambda: self._filled[rows].write(np.uint8(1)))
    self._pending.clear()

  def _check_present(self, values: np.ndarray) -> None:
    lost = values == -1 if self._absent == -1 else np.isnan(values)
    if lost.any():
      raise CacheError(f'a chunk of {self._values.kvstore.url!r} is missing')


def _open(
  path: pathlib.Path,
  shape: tuple[int, ...],
  dtype: np.dtype,
  chunk: int,
  absent: Any,
) -> Any:
  spec = {
    'driver': 'zarr3',
    'kvstore': {'driver': 'file', 'path': str(path)},
    'metadata': {
      'shape': list(shape),
      'data_type': dtype.name,
      'fill_value': absent,
      'chunk_grid': {
        'name': 'regular',
        'configuration': {'chunk_shape': [chunk, *shape[1:]]},
      },
      'codecs': [
        {'name': 'bytes'},
        {'name': 'zstd', 'configuration': {'level': 1}},
        {'name': 'crc32c'},
      ],
    },
  }
  return _done(lambda: ts.open(spec, create=True, open=True), str(path))


def _done(start: Callable[[], Any], place: str = '') -> Any:
  """Waits for a TensorStore operation; turns its error into a CacheError."""
  try:
    return start().result()
  except ValueError as error:
    # TensorStore appends a long specification, which the message leaves out.
    line = ' '.join(str(error).split()).partition(' [tensorstore_spec')[0]
    where = f'{place!r} holds something else: ' if place else ''
    raise CacheError(f'{where}{line}') from error
