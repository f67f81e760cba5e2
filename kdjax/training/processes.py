"""Several processes that train one experiment, each with its own devices.

Every process runs the same program. Each holds the whole state, reads its
share of streamed batches, and takes part in every step. The first process
writes metrics and reports.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

# A process counts as lost after this many seconds without a heartbeat.
_HEARTBEAT = 20
_SHUTDOWN = 60
_LONGEST_TEXT = 4096


def initialize(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Joins the processes of the job; call it before anything uses a device.

  If JAX detects a cluster (Slurm, GKE, Cloud TPU, Open MPI, ...), it takes the
  values that are None from the cluster.

  Args:
    coordinator_address: `host:port` of the first process.
    num_processes: Number of processes.
    process_id: Number of this process, from 0.

  Raises:
    ValueError: if a value is missing that JAX cannot detect.
  """
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  # kdjax handles SIGTERM itself, and stops all processes at the same epoch.
  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(
    coordinator_address,
    num_processes,
    process_id,
    heartbeat_timeout_seconds=_HEARTBEAT,
    shutdown_timeout_seconds=_SHUTDOWN,
  )


def is_first() -> bool:
  """Returns whether this process writes metrics and reports."""
  return jax.process_index() == 0


def agreed(number: int) -> int:
  """Returns the largest of all processes' numbers, on every process."""
  if jax.process_count() == 1:
    return number
  return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def told_by_first(function: Callable[[], str]) -> str:
  """Returns the first process's result of a function, on every process.

  Args:
    function: Function that runs on the first process only.

  Raises:
    ValueError: on all processes, with its message, if the function raises it.
  """
  if jax.process_count() == 1:
    return function()
  text, error = '', None
  if is_first():
    try:
      text = f'+{function()}'
    except ValueError as caught:
      text, error = f'-{caught}', caught
  told = np.zeros(_LONGEST_TEXT, np.uint8)
  encoded = np.frombuffer(text.encode()[:_LONGEST_TEXT], np.uint8)
  told[: len(encoded)] = encoded
  told = np.asarray(multihost_utils.broadcast_one_to_all(told))
  heard = bytes(told).rstrip(b'\0').decode(errors='replace')
  if error is not None:
    raise error
  if heard.startswith('-'):
    raise ValueError(heard[1:])
  return heard[1:]
