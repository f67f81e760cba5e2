"""What the benchmarks share: interleaved medians, and where they were taken."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

# Seconds at the start of a turn that do not count: threads of the library
# before may still be waiting for more work, busily, and caches hold its data.
_SETTLING = 0.03


def medians(
  functions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
  """Seconds that each function takes, the median of several runs.

  The functions take turns, so that what slows the machine down for a while
  slows all of them. Each must return only when its work is done.
  """
  for function in functions.values():
    function()
  taken = turns(functions, repeats)
  return {name: statistics.median(values) for name, values in taken.items()}


def turns(
  functions: Mapping[str, Callable[[], object]],
  least: int,
  seconds: float = 0.0,
) -> dict[str, list[float]]:
  """Seconds of single calls, the functions taking turns.

  Of a turn the last call counts; those before it, where there are several
  functions, are for the machine to settle.

  Args:
    functions: Name to function; returns when its work is done.
    least: Calls of each.
    seconds: For each on average; there are more calls while it is not spent.
  """
  taken: dict[str, list[float]] = {name: [] for name in functions}
  begun, rounds = time.perf_counter(), 0
  while functions and (
    rounds < least or time.perf_counter() - begun < seconds * len(functions)
  ):
    for name, function in functions.items():
      settled = time.perf_counter() + _SETTLING
      while len(functions) > 1:
        function()
        if time.perf_counter() > settled:
          break
      start = time.perf_counter()
      function()
      taken[name].append(time.perf_counter() - start)
    rounds += 1
  return taken


def temporary_bytes(compiled: Any) -> int:
  """What a compiled program needs beside its arguments and results."""
  return compiled.memory_analysis().temp_size_in_bytes


def environment(**versions: str) -> str:
  """One line: the chip, the cores, the versions."""
  device = jax.devices()[0]
  chip = device.device_kind if device.platform != 'cpu' else _processor()
  found = {'Python': platform.python_version(), 'jax': jax.__version__}
  found |= versions
  parts = [chip, f'{os.cpu_count()} cores']
  return ', '.join([*parts, *(f'{k} {v}' for k, v in found.items())])


def _processor() -> str:
  """The name of the processor, as far as the system tells."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      for line in file:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()


def markdown(header: list[str], rows: list[list[str]]) -> str:
  """A table, numbers to the right."""
  lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def torch_version() -> str:
  """PyTorch's version; without it the program ends, and says why."""
  try:
    import torch
  except ImportError:
    sys.exit(
      "skipped: PyTorch is not installed; pip install -e '.[benchmarks]'"
    )
  return torch.__version__
