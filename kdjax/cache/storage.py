"""The protocol of a storage."""

from typing import Any, Protocol

import jax
import numpy as np


class Storage(Protocol):
  """Numbered rows of one shape and dtype; each row is written or missing.

  A request may repeat the number of a row; `write` then needs the same values
  for each repetition.
  """

  def has(self, rows: np.ndarray) -> np.ndarray:
    """Returns which of the rows `[n]` are written, bool `[n]`."""

  def some(self, count: int) -> np.ndarray:
    """Returns at most `count` written rows, ascending and evenly spaced."""

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """Writes `values`, `[n, ...]`, to the rows `[n]`."""

  def read(self, rows: np.ndarray) -> Any:
    """Returns the values of written rows, `[n, ...]`."""

  def flush(self) -> None:
    """Makes written rows outlive the process, if the storage can."""


def row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
  """Returns the size of one row in bytes."""
  return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def spread_out(has: np.ndarray, count: int) -> np.ndarray:
  """Returns at most `count` of the rows that `has` marks, evenly spaced."""
  there = np.flatnonzero(has)
  count = min(count, len(there))
  return there[np.arange(count) * len(there) // max(count, 1)]
