"""Several processes that train one experiment, each with devices of its own.

Every process runs the same program. Each holds the whole state, reads its
share of streamed batches, and takes part in every step; the first writes
metrics and reports.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

# Seconds without a sign of life after which a process counts as lost.
_HEARTBEAT = 20
_SHUTDOWN = 60
_LONGEST_TEXT = 4096


def initialize(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Joins the processes of the job; call it before anything uses a device.

  JAX takes the values that are None from the cluster, where it can detect one
  (Slurm, GKE, Cloud TPU, Open MPI, ...).

  Args:
    coordinator_address: `host:port` of the first process.
    num_processes: How many there are.
    process_id: Number of this one, from 0.

  Raises:
    ValueError: if a value is missing that JAX cannot detect.
  """
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  # kdjax listens to SIGTERM itself, and stops all processes at the same epoch.
  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(
    coordinator_address,
    num_processes,
    process_id,
    heartbeat_timeout_seconds=_HEARTBEAT,
    shutdown_timeout_seconds=_SHUTDOWN,
  )


def is_first() -> bool:
  """Whether this process writes metrics and reports."""
  return jax.process_index() == 0


def agreed(number: int) -> int:
  """The largest of all processes' numbers, the same on all of them."""
  if jax.process_count() == 1:
    return number
  return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def told_by_first(function: Callable[[], str]) -> str:
  """What the function returns on the first process, told to all of them.

  Args:
    function: Runs on the first process only.

  Raises:
    ValueError: on all processes, with the message, if it raises one.
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
