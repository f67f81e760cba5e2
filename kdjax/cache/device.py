"""Rows in the memory of a device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from kdjax.cache.storage import spread_out


@partial(jax.jit, donate_argnums=0)
def _written(kept, rows, values):
  return kept.at[rows].set(values.astype(kept.dtype))


@partial(jax.jit, static_argnums=2)
def _read(kept, rows, dtype):
  return kept[rows].astype(dtype)


class DeviceStorage:
  """A `Storage` in device memory, which ends with the process.

  The host keeps one byte per row, which says whether the row is written.
  """

  def __init__(
    self,
    rows: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    kept_as: np.dtype | None = None,
    device: jax.Device | None = None,
  ):
    """Allocates the memory for all rows at once.

    Args:
      rows: Number of rows that fit into the memory.
      shape: Shape of one row.
      dtype: Dtype of the rows in `write` and `read`.
      kept_as: Dtype of the rows in memory, `dtype` by default.
      device: Device of the memory; the first local device by default.
    """
    self._device = device or jax.local_devices()[0]
    self._dtype = np.dtype(dtype)
    with jax.default_device(self._device):
      self._kept = jnp.zeros((rows, *shape), kept_as or dtype)
    self._has = np.zeros(rows, bool)

  def has(self, rows: np.ndarray) -> np.ndarray:
    """See `Storage`."""
    return self._has[rows]

  def some(self, count: int) -> np.ndarray:
    """See `Storage`."""
    return spread_out(self._has, count)

  def write(self, rows: np.ndarray, values: jax.Array) -> None:
    """See `Storage`."""
    here = jax.device_put((rows.astype(np.int32), values), self._device)
    self._kept = _written(self._kept, *here)
    self._has[rows] = True

  def read(self, rows: np.ndarray) -> jax.Array:
    """See `Storage`."""
    here = jax.device_put(rows.astype(np.int32), self._device)
    return _read(self._kept, here, self._dtype)

  def flush(self) -> None:
    """Does nothing: device memory does not outlive the process."""
