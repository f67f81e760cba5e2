"""What a distillation found: a table to read and `summary.json`."""

import json
import pathlib
from typing import Any

import numpy as np
from rich import box, console, table

from kdjax.analysis import paired_gain
from kdjax.reports.recorder import write_atomically

SUMMARY_FILE = 'summary.json'


def accuracies(values: Any) -> dict[str, Any]:
  """`accuracy` (one per seed), `mean` and `std` (ddof 1; 0 for one seed)."""
  values = np.asarray(values, np.float64)
  std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
  return {
    'accuracy': values.tolist(),
    'mean': float(values.mean()),
    'std': std,
  }


def gain(scratch: Any, distilled: Any) -> dict[str, Any]:
  """The paired gain of distillation: `mean` and `ci95`.

  `ci95` is two numbers, or two nulls for a single seed, whose spread is
  unknown.
  """
  mean, interval = paired_gain(scratch, distilled)
  return {'mean': mean, 'ci95': list(interval or (None, None))}


def write_summary(
  workdir: str | pathlib.Path, summary: dict[str, Any]
) -> pathlib.Path:
  """Writes `summary.json` and returns where it is."""
  path = pathlib.Path(workdir) / SUMMARY_FILE
  write_atomically(path, json.dumps(summary, indent=2) + '\n')
  return path


def print_summary(
  summary: dict[str, Any], output: console.Console | None = None
) -> None:
  """Prints the table and says plainly what distillation did."""
  output = output or console.Console()
  rows = table.Table(
    title=f'{summary["dataset"]}, {summary["method"]}: test accuracy after '
    f'the last epoch, {len(summary["seeds"])} seed(s)',
    caption='MFLOPs and microseconds are per example',
    box=box.SIMPLE_HEAD,
    padding=(0, 1, 0, 0),
    pad_edge=False,
  )
  rows.add_column('', no_wrap=True)
  rows.add_column('model', no_wrap=True)
  for name in ('accuracy %', 'parameters', 'MB', 'MFLOPs', 'µs'):
    rows.add_column(name, justify='right', no_wrap=True)
  teacher = summary['teacher']
  rows.add_row('teacher', *_cells(teacher, f'{100 * teacher["accuracy"]:.2f}'))
  for run in ('scratch', 'distilled'):
    if summary[run]:
      mean, std = 100 * summary[run]['mean'], 100 * summary[run]['std']
      rows.add_row(run, *_cells(summary[run], f'{mean:.2f} ± {std:.2f}'))
  output.print(rows)
  if summary['gain']:
    output.print(verdict(summary['gain']))
  if 'teacher_cache' in summary:
    output.print(
      'Of {served:,} views the teacher looked at {computed:,}; the others were '
      'kept.'.format(**summary['teacher_cache'])
    )


def _cells(network: dict[str, Any], accuracy: str) -> tuple[str, ...]:
  return (
    network['model'],
    accuracy,
    f'{network["parameters"]:,}',
    f'{network["bytes"] / 1e6:.3g}',
    f'{network["flops_per_example"] / 1e6:.3g}',
    f'{1e6 * network["seconds_per_example"]:.3g}',
  )


def verdict(gain: dict[str, Any]) -> str:
  """One sentence: whether distillation helped, hurt, or cannot be told."""
  points, (low, high) = 100 * gain['mean'], gain['ci95']
  if low is None:
    return (
      f'Distillation changed the accuracy by {points:+.2f} points; one seed '
      'says nothing about chance.'
    )
  interval = f'95 % interval {100 * low:+.2f} to {100 * high:+.2f}'
  if low > 0:
    return f'Distillation helped: {points:+.2f} points ({interval}).'
  if high < 0:
    return f'Distillation HURT: {points:+.2f} points ({interval}).'
  return f'No gain shown: {points:+.2f} points ({interval}, which includes 0).'
