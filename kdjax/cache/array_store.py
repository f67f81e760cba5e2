"""Rows on disk in chunks: the only file that names tensorstore.

Orbax stands on TensorStore already, so it is no new dependency.
"""

import pathlib
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from kdjax.cache.note import CacheError
from kdjax.cache.storage import row_bytes

# Rows come in random order, and a chunk is written whole: small ones.
_CHUNK_BYTES = 64 * 2**10
_FLAGS_PER_CHUNK = 64 * 2**10


class ArrayStore:
  """A `Storage` of two Zarr arrays: compressed, each chunk with a checksum.

  For data too large for a memory map. Any Zarr 3 library reads it.
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
    """Opens the arrays, or makes them.

    Args:
      directory: Made if it is not there.
      name: Of the arrays.
      rows: How many there may be.
      shape: Of one row.
      dtype: Of what is written and read.
      kept_as: Of what lies on disk, `dtype` by default.

    Raises:
      CacheError: if the arrays are there and have another shape or dtype.
    """
    self._dtype, self._kept_as = np.dtype(dtype), np.dtype(kept_as or dtype)
    stem = f'{name}-{self._kept_as.name}'
    per_chunk = max(1, _CHUNK_BYTES // max(1, row_bytes(shape, self._kept_as)))
    directory = pathlib.Path(directory).absolute()
    self._values = _open(
      directory / f'{stem}.values.zarr',
      (rows, *shape),
      self._kept_as,
      min(per_chunk, rows),
    )
    self._filled = _open(
      directory / f'{stem}.filled.zarr',
      (rows,),
      np.dtype(np.uint8),
      min(_FLAGS_PER_CHUNK, rows),
    )
    self._has = np.array(self._filled.read().result(), bool)
    self._new: list[np.ndarray] = []

  def has(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._has[rows]

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """See `Storage`."""
    kept = np.asarray(values).astype(self._kept_as)
    self._values[rows].write(kept).result()
    self._has[rows] = True
    self._new.append(rows)

  def read(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`.

    Raises:
      CacheError: if a chunk's checksum says that it is damaged.
    """
    try:
      values = self._values[rows].read().result()
    except ValueError as error:
      raise CacheError(f'damaged: {_first_line(error)}') from error
    return values.astype(self._dtype)

  def flush(self) -> None:
    """See `Storage`."""
    if self._new:
      self._filled[np.concatenate(self._new)].write(np.uint8(1)).result()
      self._new.clear()


def _open(
  path: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype, chunk: int
) -> Any:
  spec = {
    'driver': 'zarr3',
    'kvstore': {'driver': 'file', 'path': str(path)},
    'metadata': {
      'shape': list(shape),
      'data_type': dtype.name,
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
  try:
    return ts.open(spec, create=True, open=True).result()
  except ValueError as error:
    raise CacheError(
      f'{str(path)!r} holds something else: {_first_line(error)}'
    ) from error


def _first_line(error: Exception) -> str:
  """What is wrong, without the specification that TensorStore appends."""
  return ' '.join(str(error).split()).partition(' [tensorstore_spec')[0]
