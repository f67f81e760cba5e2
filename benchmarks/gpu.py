"""Distillation and the costly losses on a GPU, beside PyTorch in one run.

python -m benchmarks.gpu --output=gpu          # ten minutes at most
python -m benchmarks.gpu --parts=resnet --batches=64 --torch=eager
python -m benchmarks.gpu --smoke               # tries the code, on a CPU too

Rows are printed, and saved to FILE.json and FILE.md, as soon as they are
measured. Images are synthetic, of CIFAR's shape. Needs jax, flax, optax, chex,
absl-py and numpy; PyTorch's rows stay empty where it is not installed. What the
columns mean is in benchmarks/README.md.
"""

import importlib.metadata
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import app, flags

from benchmarks import side_by_side
from benchmarks.gpu_parts import beside, limits, losses, resnet
from benchmarks.gpu_parts.report import Report
from benchmarks.gpu_parts.settings import FULL, SMOKE, Settings

_SMOKE = flags.DEFINE_bool('smoke', False, 'Tiny, to try the code.')
_OUTPUT = flags.DEFINE_string('output', None, 'FILE.json and FILE.md.')
_MINUTES = flags.DEFINE_float('minutes', 8.0, 'After which no job is begun.')
_NUMBERS = {
  name: flags.DEFINE_float(name, None, text, lower_bound=0.0)
  for name, text in {
    'seconds': 'Spent on timing each form.',
    'compile_seconds': 'After which torch.compile is given up.',
  }.items()
}
_LISTS = {
  name: flags.DEFINE_list(name, None, text)
  for name, text in {
    'parts': 'Of angle, vocabulary, resnet.',
    'pairs': 'TEACHER:STUDENT, depths, such as 56:20.',
    'batches': 'Images a step.',
    'seeds': 'Students that share a teacher.',
    'precisions': 'Of float32, bfloat16.',
    'teacher_batches': "Batches that kdjax's teacher answers in one pass.",
    'torch': 'Of eager, compile, reduce-overhead.',
    'sizes': 'Examples of the angle loss.',
    'chunks': 'Tokens at a time, of the vocabulary loss.',
  }.items()
}
_INTEGERS = ('batches', 'seeds', 'teacher_batches', 'sizes', 'chunks')
_OVER = flags.DEFINE_enum(
  'over_students', 'both', ['unrolled', 'vmapped', 'both'], 'Several seeds.'
)
_PARTS = {
  'angle': losses.angle,
  'vocabulary': losses.vocabulary,
  'resnet': resnet.rows,
}
_CHOICES = {
  'parts': tuple(_PARTS),
  'precisions': ('float32', 'bfloat16'),
  'torch': ('eager', 'compile', 'reduce-overhead'),
}


def settings() -> Settings:
  """From the flags; what is not given is as in `FULL` or `SMOKE`.

  Raises:
    ValueError: for a value that cannot be meant.
  """
  given: dict = {
    name: flag.value
    for name, flag in _NUMBERS.items()
    if flag.value is not None
  }
  for name, flag in _LISTS.items():
    if flag.value is not None:
      given[name] = tuple(_entry(name, entry) for entry in flag.value)
  if _OVER.value != 'both':
    given['over_students'] = (_OVER.value,)
  deadline = time.monotonic() + 60 * _MINUTES.value
  base = SMOKE if _SMOKE.value else FULL
  for batch in given.get('batches', ()):
    if not 1 <= batch <= base.examples:
      raise ValueError(f'batches must be 1 to {base.examples}, got {batch}.')
  for ahead in given.get('teacher_batches', ()):
    if ahead < 1:
      raise ValueError(f'teacher_batches must be positive, got {ahead}.')
  return base._replace(**given, deadline=deadline)


def _entry(name: str, entry: str) -> object:
  """One entry of a flag that is a list."""
  if name in _CHOICES and entry not in _CHOICES[name]:
    raise ValueError(f'{name} must be of {_CHOICES[name]}, got {entry!r}.')
  if name == 'pairs':
    teacher, colon, student = entry.partition(':')
    if not colon:
      raise ValueError(f'pairs must be TEACHER:STUDENT, got {entry!r}.')
    return int(teacher), int(student)
  return int(entry) if name in _INTEGERS else entry


def _driver() -> dict[str, str]:
  """The GPU's driver, if there is one to ask."""
  command = [
    'nvidia-smi',
    '--query-gpu=driver_version',
    '--format=csv,noheader',
  ]
  try:
    found = subprocess.run(
      command, capture_output=True, text=True, check=True, timeout=20
    ).stdout.split()
  except (OSError, subprocess.SubprocessError):
    return {}
  return {'driver': found[0]} if found else {}


def environment() -> str:
  """Chip, versions and command."""
  versions = {
    name: importlib.metadata.version(name) for name in ('jaxlib', 'flax')
  }
  for name in ('nvidia-cudnn-cu12', 'nvidia-cudnn-cu13'):
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  where = side_by_side.environment(**versions, **beside.versions(), **_driver())
  return f'{where}\n`python -m benchmarks.gpu {shlex.join(sys.argv[1:])}`'


def main(argv: Sequence[str]) -> None:
  """Measures the limits, then the parts."""
  if len(argv) > 1:
    raise app.UsageError(f'takes no arguments, got {argv[1:]}.')
  # Half the memory or more is for PyTorch; read when the backend starts.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  try:
    chosen = settings()
  except ValueError as error:
    raise app.UsageError(str(error)) from error
  rates = limits.measure(chosen.side, chosen.seconds / 3)
  report = Report(environment(), rates, _OUTPUT.value)
  failed = []
  for part in chosen.parts:
    try:
      _PARTS[part](chosen, report)
    except ValueError as error:  # the two sides disagree
      failed.append(f'{part}: {error}')
  if failed:
    sys.exit('\n'.join(failed))


if __name__ == '__main__':
  app.run(main)
