"""Rows of the table: printed and saved as soon as they are measured."""

import json
import os
import pathlib
from typing import NamedTuple

from benchmarks import side_by_side
from benchmarks.gpu_parts.timing import Timing

COLUMNS = {
  'job': 'job',
  'form': 'form',
  'compile': 'compile s',
  'milliseconds': 'ms',
  'images': 'images/s',
  'student_images': 'student images/s',
  'ratio': 'times eager',
  'teraflops': 'TFLOP/s',
  'of_limit': 'of limit',
  'of_copy': 'of copy',
  'gigabytes': 'GB',
  'note': 'note',
}


class Work(NamedTuple):
  """What one step has to do at least.

  Attributes:
    flops: Floating point operations, a multiply-add being two.
    limit: Name of the measured rate that bounds them.
    bytes: Read and written, or 0 where that is not what bounds.
  """

  flops: float
  limit: str
  bytes: float = 0.0


class Job(NamedTuple):
  """What is measured in several forms.

  Attributes:
    name: For the table.
    work: Of one step.
    batch: Images a step, 0 for the losses.
    seeds: Students that train on them.
  """

  name: str
  work: Work
  batch: int = 0
  seeds: int = 1


class Report:
  """The table so far.

  Attributes:
    environment: Where it is measured, and by which command.
    limits: Measured rates, of operations or bytes a second.
    rows: What was measured, JSON's types only.
  """

  def __init__(
    self, environment: str, limits: dict[str, float], output: str | None
  ):
    """Prints the head of the table.

    Args:
      environment: Where it is measured, and by which command.
      limits: Measured rates, of operations or bytes a second.
      output: File to save to, as `.json` and `.md`, or None.
    """
    self.environment, self.limits = environment, limits
    self.rows: list[dict] = []
    self._output = pathlib.Path(output) if output else None
    self._eager: dict[str, float] = {}
    print(self._head(), flush=True)

  def add(self, job: Job, form: str, timing: Timing) -> None:
    """Prints and saves a row; the ratio is to the job's `PyTorch eager`."""
    row: dict = {'job': job.name, 'form': form, 'note': timing.note}
    if timing.seconds is not None:
      if form == 'PyTorch eager':
        self._eager[job.name] = timing.seconds
      row |= self._measured(job, timing, timing.seconds)
    self.rows.append(row)
    print(_line(row), flush=True)
    self._save()

  def _measured(self, job: Job, timing: Timing, seconds: float) -> dict:
    work, eager = job.work, self._eager.get(job.name)
    rate = work.flops / seconds
    traffic = work.bytes / seconds
    return {
      'compile': timing.compile_seconds,
      'milliseconds': 1e3 * seconds,
      'images': job.batch / seconds or None,
      'student_images': job.batch * job.seeds / seconds or None,
      'ratio': eager / seconds if eager else None,
      'teraflops': rate / 1e12,
      'of_limit': rate / self.limits[work.limit],
      'of_copy': traffic / self.limits['copy'] or None,
      'gigabytes': timing.memory / 1e9 if timing.memory else None,
      'limit': work.limit,
      'flops': work.flops,
      'bytes': work.bytes,
      'runs': timing.runs,
    }

  def _head(self) -> str:
    lines = [self.environment, 'limits measured in this run:']
    for name, rate in self.limits.items():
      unit = 'TB/s' if name == 'copy' else 'TFLOP/s'
      lines.append(f'  {name}: {rate / 1e12:.3g} {unit}')
    return (
      '\n'.join(lines)
      + '\n\n'
      + side_by_side.markdown(list(COLUMNS.values()), [])
    )

  def _save(self) -> None:
    if self._output is None:
      return
    found = {
      'environment': self.environment,
      'limits': self.limits,
      'rows': self.rows,
    }
    table = '\n'.join([self._head(), *map(_line, self.rows)])
    _replace(self._output.with_suffix('.json'), json.dumps(found, indent=1))
    _replace(self._output.with_suffix('.md'), table + '\n')


def _replace(path: pathlib.Path, text: str) -> None:
  """Writes a file that is whole at any moment, should the run be killed."""
  part = path.with_name(path.name + '.part')
  part.write_text(text, encoding='utf-8')
  os.replace(part, path)


def _line(row: dict) -> str:
  cells = (_cell(name, row.get(name)) for name in COLUMNS)
  return '| ' + ' | '.join(cells) + ' |'


def _cell(name: str, value: float | str | None) -> str:
  if value is None or isinstance(value, str):
    return (value or '').replace('|', '/')
  if name in ('of_limit', 'of_copy'):
    value = 100 * value
    return f'{value:.0f} %' if value >= 10 else f'{value:.2g} %'
  return f'{value:,.0f}' if value >= 1000 else f'{value:.3g}'
