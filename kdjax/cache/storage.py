"""What a storage does."""

from typing import Any, Protocol

import jax
import numpy as np


class Storage(Protocol):
  """Rows of one shape and dtype, some of which are there already.

  Rows are numbered; a number may stand in a request more than once, and must
  then come with the same values.
  """

  def has(self, rows: np.ndarray) -> np.ndarray:
    """Which of the rows `[n]` are there, bool `[n]`."""

  def some(self, count: int) -> np.ndarray:
    """At most `count` of the rows that are there, ascending, evenly."""

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """Keeps `values`, `[n, ...]`, for the rows `[n]`."""

  def read(self, rows: np.ndarray) -> Any:
    """The values of rows that are there, `[n, ...]`, as they were written."""

  def flush(self) -> None:
    """Makes sure that what was written outlives the process, if it can."""


def row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
  """Memory of one row."""
  return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def spread_out(has: np.ndarray, count: int) -> np.ndarray:
  """At most `count` of the rows that are there, evenly."""
  there = np.flatnonzero(has)
  count = min(count, len(there))
  return there[np.arange(count) * len(there) // max(count, 1)]
