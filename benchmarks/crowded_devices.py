"""Trains a ResNet on two CPU devices of a busy machine, again and again.

python -m benchmarks.crowded_devices
python -m benchmarks.crowded_devices --runs=10

Each training is a process of its own, on two cores that as many busy loops
share with it. Prints how many did not end well; exit code 1 if any did not.
XLA waits 10 seconds here, in place of 40, before it aborts a process whose
devices wait for each other.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from absl import app, flags

_RUNS = flags.DEFINE_integer('runs', 30, 'Trainings.', lower_bound=1)
_EPOCHS = flags.DEFINE_integer(
  'epochs', 6, 'Of a training, of 300 steps each.', lower_bound=1
)

_CORES = 2
# Ends with its parent, however that ends.
_BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
  pass
"""
_LONGEST_SECONDS = 300
_XLA_FLAGS = (
  '--xla_cpu_collective_call_warn_stuck_timeout_seconds=5',
  '--xla_cpu_collective_call_terminate_timeout_seconds=10',
)


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
  """Keeps as many cores busy."""
  loop = [sys.executable, '-c', _BUSY]
  processes = [subprocess.Popen(loop) for _ in range(count)]
  try:
    yield
  finally:
    for process in processes:
      process.kill()
      process.wait()


def train(directory: str, number: int) -> str:
  """How a training of small steps ended: '' if it ended well."""
  command = [sys.executable, '-m', 'experiments.train_teacher']
  command += ['--dataset=digits', '--teacher=resnet8', '--batch_size=4']
  command += [f'--teacher_epochs={_EPOCHS.value}', f'--devices={_CORES}']
  command += [f'--workdir={directory}/{number}']
  environment = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': ' '.join([os.environ.get('XLA_FLAGS', ''), *_XLA_FLAGS]),
    # Only the first training has to compile its programs.
    'JAX_COMPILATION_CACHE_DIR': f'{directory}/compiled',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
  }
  try:
    ended = subprocess.run(
      command,
      capture_output=True,
      text=True,
      timeout=_LONGEST_SECONDS,
      env=environment,
    )
  except subprocess.TimeoutExpired:
    return f'did not end in {_LONGEST_SECONDS} s'
  if not ended.returncode:
    return ''
  lines = ended.stderr.splitlines()
  reasons = [line for line in lines if 'Termination timeout' in line]
  reason = (reasons or lines or [''])[-1]
  return f'exit code {ended.returncode}: {reason}'


def main(argv: Sequence[str]) -> None:
  """Prints how each training ended."""
  del argv
  # XLA makes a thread per core that it may use.
  cores = sorted(os.sched_getaffinity(0))[:_CORES]
  os.sched_setaffinity(0, cores)
  bad = 0
  with tempfile.TemporaryDirectory() as directory, busy_cores(len(cores)):
    for run in range(1, _RUNS.value + 1):
      start = time.perf_counter()
      trouble = train(directory, run)
      bad += bool(trouble)
      seconds = time.perf_counter() - start
      print(f'{run}: {trouble or "ended well"} ({seconds:.0f} s)', flush=True)
  print(f'{bad} of {_RUNS.value} trainings did not end well')
  sys.exit(bool(bad))


if __name__ == '__main__':
  app.run(main)
