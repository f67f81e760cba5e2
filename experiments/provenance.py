"""Where a result comes from: command, commit, machine, versions and time."""

import datetime
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import jax

import kdjax

_CPU_INFO = pathlib.Path('/proc/cpuinfo')


def provenance() -> dict[str, Any]:
  """Returns what a reader needs to make a result again, as JSON.

  `commit` is None outside of a clone, and ends in `-dirty` where files differ
  from it.
  """
  program = pathlib.Path(sys.argv[0]).stem
  return {
    'command': shlex.join(
      ['python', '-m', f'experiments.{program}', *sys.argv[1:]]
    ),
    'commit': _commit(),
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'device': jax.local_devices()[0].device_kind,
    'machine': f'{_processor()}, {len(_usable())} core(s)',
    'versions': {
      'kdjax': kdjax.__version__,
      'jax': jax.__version__,
      'python': platform.python_version(),
    },
  }


def _commit() -> str | None:
  """The commit of the clone that this package lies in."""
  folder = pathlib.Path(kdjax.__file__).parents[1]
  if not (folder / '.git').exists():
    return None  # installed, perhaps within a clone of something else
  try:
    found = subprocess.run(
      ['git', 'describe', '--always', '--dirty', '--exclude=*', '--abbrev=12'],
      cwd=folder,
      capture_output=True,
      text=True,
      timeout=10,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return found.stdout.strip()


def _processor() -> str:
  """The processor's name; Linux alone tells it."""
  if _CPU_INFO.exists():
    for line in _CPU_INFO.read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()


def _usable() -> set[int]:
  """The cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return os.sched_getaffinity(0)
  return set(range(os.cpu_count() or 1))
