"""Programs over several devices: the only file that names `jax.pmap`.

Since jax 0.8 `pmap` is `jit(shard_map)`: with `in_axes=None, out_axes=None`
the state stays one unstacked, replicated pytree that can be donated, saved and
restored as it is. `out_axes=None` returns one device's value unchecked, so
everything that leaves a mapped function must have been averaged or summed.

With several processes `pmap` maps over the devices of all of them. Each process
passes and receives arrays on its own devices, so placing arrays stays local.
"""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

AXIS = 'batch'

# While one runs, the next is ready, so that no device waits for the host.
_UNFINISHED_RUNS = 2


def spread(
  function: Callable,
  devices: Sequence[jax.Device] | None = None,
  *,
  donate: bool = False,
) -> Callable:
  """Maps `function(replicated, shared, shard) -> replicated` over devices.

  Args:
    function: Sees `replicated` and `shared` whole and its own slice of
      `shard`; the mapped axis is called `AXIS`.
    devices: Where to run; all devices of all processes by default.
    donate: Reuse the memory of `replicated` for the result.

  Returns:
    The compiled function. Each leaf of `shard` has the devices as first axis.
    On several CPU devices a call waits for the run before the last to end.
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
  # The end is an output of its own: callers may donate all others.
  run: Any = _paced(
    mapped(lambda *args: (function(*args), jnp.zeros((), bool)))
  )
  run.lower = program.lower
  return run


def _can_deadlock(devices: Sequence[jax.Device] | None) -> bool:
  """Whether a process that has begun many runs may wait for itself for ever.

  XLA:CPU has one pool of threads, one per core (per device if there are more
  devices). A run of a program takes one thread per device until it ends. To
  begin a run takes a thread per device too, and that thread blocks while the
  device has 32 unfinished runs (`max_inflight_computations_per_device` in XLA).
  If such threads leave fewer than one per device for the oldest run, its
  devices wait in a collective for one that never comes, and XLA aborts the
  process after 40 seconds.
  """
  devices = _local(devices)
  return len(devices) > 1 and devices[0].platform == 'cpu'


def _paced(program: Callable) -> Callable:
  """Runs a program that also returns its end; few runs are unfinished."""
  ends: collections.deque[jax.Array] = collections.deque()

  def run(*args: Any) -> Any:
    if len(ends) == _UNFINISHED_RUNS:
      jax.block_until_ready(ends.popleft())
    result, end = program(*args)
    ends.append(end)
    return result

  return run


def _local(devices: Sequence[jax.Device] | None) -> Sequence[jax.Device]:
  """This process's share of the devices."""
  return jax.local_devices() if devices is None else devices


def _sharding(devices, spec) -> jax.sharding.NamedSharding:
  mesh = jax.sharding.Mesh(np.asarray(_local(devices)), (AXIS,))
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))


def replicate(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
  """Places a copy of every leaf on every device, as `spread` wants it."""
  return jax.device_put(tree, _sharding(devices, ()))


def shard(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
  """Splits the first axis of every leaf over this process's devices.

  The process's part of a batch, `own_places`, `[local devices * n, ...]` on
  the host, becomes `[local devices, n, ...]` placed as the third argument of
  `spread` wants it.
  """
  count = len(_local(devices))
  tree = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), tree)
  return jax.device_put(tree, _sharding(devices, (AXIS,)))


def device_numbers(devices: Sequence[jax.Device] | None = None) -> jax.Array:
  """Each device's own number among all, as a `shard`."""
  numbers = np.arange(device_count(devices), dtype=np.int32)
  own = numbers[own_places(len(numbers), devices)]
  return jax.device_put(own, _sharding(devices, (AXIS,)))


def own_places(
  batch_size: int, devices: Sequence[jax.Device] | None = None
) -> slice:
  """The places of the global batch that fall to this process."""
  if devices is not None or jax.process_count() == 1:
    return slice(0, batch_size)
  share = batch_size // jax.process_count()
  return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def device_count(devices: Sequence[jax.Device] | None = None) -> int:
  """How many devices `spread` would use, of all processes."""
  return jax.device_count() if devices is None else len(devices)


def check_batch_size(
  batch_size: int, devices: Sequence[jax.Device] | None = None
) -> None:
  """Raises ValueError unless the devices divide the global batch."""
  count = device_count(devices)
  if batch_size < 1 or batch_size % count:
    raise ValueError(
      f'batch_size must be a positive multiple of the {count} devices, got '
      f'{batch_size}.'
    )
