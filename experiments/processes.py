r"""Flags and manners of a job of several processes.

python -m experiments.distill --num_processes=2 --process_id=0 \
      --coordinator_address=localhost:1234 --workdir=runs/two
python -m experiments.distill --num_processes=2 --process_id=1 \
      --coordinator_address=localhost:1234 --workdir=runs/two
"""

import os
import pathlib
import subprocess
import sys

import jax
from absl import flags

from experiments import stderr_filter
from kdjax import training
from kdjax.options import OptionError

FLAGS = flags.FLAGS
_FILTER = pathlib.Path(__file__).with_name('stderr_filter.py')

LOST = stderr_filter.LOST


def define_flags() -> list[str]:
  """Defines the flags of a job of several processes; returns their names."""
  flags.DEFINE_string(
    'coordinator_address',
    None,
    'host:port of the first process. Default: what JAX detects in the cluster.',
  )
  flags.DEFINE_integer(
    'num_processes',
    None,
    'How many processes train together, each on its own devices. Default: one.',
    lower_bound=1,
  )
  flags.DEFINE_integer(
    'process_id', None, 'Number of this process, from 0.', lower_bound=0
  )
  flags.DEFINE_boolean(
    'cluster', False, 'Take all three from the cluster (Slurm, GKE, TPU, ...).'
  )
  return ['coordinator_address', 'num_processes', 'process_id', 'cluster']


def join() -> None:
  """Joins the other processes of the job, if the flags say there are any.

  Raises:
    OptionError: if a flag is missing.
  """
  if 'num_processes' not in FLAGS or jax.distributed.is_initialized():
    return
  count, number = FLAGS.num_processes, FLAGS.process_id
  if not FLAGS.cluster:
    if count is None or count == 1:
      return
    for name in ('coordinator_address', 'process_id'):
      if FLAGS[name].value is None:
        raise OptionError(name, None, f'is needed with num_processes={count}')
    if number >= count:
      raise OptionError(
        'process_id', number, f'must be below num_processes={count}'
      )
  _filter_stderr()
  try:
    training.initialize(FLAGS.coordinator_address, count, number)
  except (RuntimeError, ValueError) as error:
    raise OptionError(
      'coordinator_address', FLAGS.coordinator_address, str(error)
    ) from error


def several() -> bool:
  """Whether this process is one of several."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def leave(code: int) -> None:
  """Ends a process of several at once, without waiting for the others."""
  if several():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _filter_stderr() -> None:
  """Sends what the runtime says of lost processes through a filter.

  When a process is lost, the runtime ends the others with a page of C++ frames,
  which Python cannot catch. The filter makes one line of it.
  """
  command = [sys.executable, '-S', str(_FILTER)]
  filtering = subprocess.Popen(command, stdin=subprocess.PIPE)
  assert filtering.stdin is not None
  os.dup2(filtering.stdin.fileno(), sys.stderr.fileno())
  filtering.stdin.close()
