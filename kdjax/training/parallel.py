"""Programs over several devices; no other file names `jax.pmap`.

Since jax 0.8 `pmap` is `jit(shard_map)`: with `in_axes=None, out_axes=None`
the state stays one unstacked, replicated pytree that can be donated, saved and
restored as it is. `out_axes=None` returns one device's value unchecked, so a
mapped function must average or sum everything that it returns.

With several processes `pmap` maps over the devices of all processes. Each
process passes and receives arrays on its own devices, so placing arrays stays
local.
"""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

AXIS = 'batch'

# The next run is ready while one executes, so no device waits for the host.
_UNFINISHED_RUNS = 2


def spread(
  function: Callable,
  devices: Sequence[jax.Device] | None = None,
  *,
  donate: bool = False,
) -> Callable:
  """Maps `function(replicated, shared, shard) -> replicated` over devices.

  Args:
    function: Receives all of `replicated` and `shared`, and its device's slice
      of `shard`; the mapped axis is called `AXIS`.
    devices: Devices to run on; all devices of all processes by default.
    donate: Whether the result reuses the memory of `replicated`.

  Returns:
    The compiled function. Each leaf of `shard` has the devices as first axis.
    On several CPU devices a call waits until the run before the last has ended.
  """

  def mapped(function: Callable) -> Any:
    return jax.pmap(
      function,
      axis_name=AXIS,
      in_axes=(None, None, 0),
      out_axes=None,
      devices=devices,
      donate_argnums=(0,) if donate else (),
    )

  program = mapped(function)
  if not _can_deadlock(devices):
    return program
  # The end needs its own output, because callers may donate all others.
  run: Any = _paced(
    mapped(lambda *args: (function(*args), jnp.zeros((), bool)))
  )
  run.lower = program.lower
  return run


def _can_deadlock(devices: Sequence[jax.Device] | None) -> bool:
  """Returns whether a process that begins many runs may deadlock.

  XLA:CPU has one pool of threads, with one thread per core, or per device if
  there are more devices than cores. A run of a program takes one thread per
  device until it ends. The start of a run takes one thread per device too, and
  that thread blocks while the device has 32 unfinished runs
  (`max_inflight_computations_per_device` in XLA). If blocked threads leave less
  than one thread per device for the oldest run, its devices wait in a
  collective for a device that never joins, and XLA aborts the process after 40
  seconds.
  """
  devices = _local(devices)
  return len(devices) > 1 and devices[0].platform == 'cpu'


def _paced(program: Callable) -> Callable:
  """Limits the unfinished runs of a program that also returns its end."""
  ends: collections.deque[jax.Array] = collections.deque()

  def run(*args: Any) -> Any:
    if len(ends) == _UNFINISHED_RUNS:
      jax.block_until_ready(ends.popleft())
    result, end = program(*args)
    ends.append(end)
    return result

  return run


def _local(devices: Sequence[jax.Device] | None) -> Sequence[jax.Device]:
  """Returns this process's share of the devices."""
  return jax.local_devices() if devices is None else devices


def _sharding(devices, spec) -> jax.sharding.NamedSharding:
  mesh = jax.sharding.Mesh(np.asarray(_local(devices)), (AXIS,))
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))


def replicate(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
  """Places a copy of every leaf on every device, as `spread` needs it."""
  return jax.device_put(tree, _sharding(devices, ()))


def shard(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
  """Splits the first axis of every leaf over this process's devices.

  The leaves are the process's part of a batch (`own_places`) on the host,
  `[local devices * n, ...]`. The result has leaves `[local devices, n, ...]`,
  placed as `spread` needs its third argument.
  """
  count = len(_local(devices))
  tree = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), tree)
  return jax.device_put(tree, _sharding(devices, (AXIS,)))


def device_numbers(devices: Sequence[jax.Device] | None = None) -> jax.Array:
  """Returns each device's number among all devices, as a `shard`."""
  numbers = np.arange(device_count(devices), dtype=np.int32)
  own = numbers[own_places(len(numbers), devices)]
  return jax.device_put(own, _sharding(devices, (AXIS,)))


def own_places(
  batch_size: int, devices: Sequence[jax.Device] | None = None
) -> slice:
  """Returns the places of the global batch that belong to this process."""
  if devices is not None or jax.process_count() == 1:
    return slice(0, batch_size)
  share = batch_size // jax.process_count()
  return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def device_count(devices: Sequence[jax.Device] | None = None) -> int:
  """Returns the number of devices, of all processes, that `spread` uses."""
  return jax.device_count() if devices is None else len(devices)


def check_batch_size(
  batch_size: int, devices: Sequence[jax.Device] | None = None
) -> None:
  """Raises ValueError unless the devices can share the batch equally."""
  count = device_count(devices)
  if batch_size < 1 or batch_size % count:
    raise ValueError(
      f'batch_size must be a positive multiple of the {count} devices, got '
      f'{batch_size}.'
    )
