"""The result of a distillation: printed tables and `summary.json`."""

import json
import pathlib
from typing import Any

import numpy as np
from rich import box, console, table

from kdjax import citations
from kdjax.analysis import paired_gain
from kdjax.reports.recorder import number, write_atomically

SUMMARY_FILE = 'summary.json'


def spread(name: str, values: Any) -> dict[str, Any]:
  """Returns a measure over seeds: all values, `mean` and `std`.

  Args:
    name: Name of the measure, the key of its values.
    values: One value per seed. `std` has ddof 1; it is 0 for one seed.
  """
  values = np.asarray(values, np.float64)
  std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
  return {name: values.tolist(), 'mean': float(values.mean()), 'std': std}


def gain(scratch: Any, distilled: Any) -> dict[str, Any]:
  """Returns the paired gain of distillation: `mean` and `ci95`.

  `ci95` is two numbers, or None twice for a single seed, whose spread is
  unknown.
  """
  mean, interval = paired_gain(scratch, distilled)
  return {'mean': mean, 'ci95': list(interval or (None, None))}


def write_summary(
  workdir: str | pathlib.Path, summary: dict[str, Any]
) -> pathlib.Path:
  """Writes `summary.json` and returns its path."""
  path = pathlib.Path(workdir) / SUMMARY_FILE
  text = json.dumps(_without_nan(summary), indent=2, allow_nan=False)
  write_atomically(path, text + '\n')
  return path


def read_summary(workdir: str | pathlib.Path) -> dict[str, Any] | None:
  """Returns `summary.json`; None if it is missing or no summary of kdjax."""
  try:
    found = json.loads((pathlib.Path(workdir) / SUMMARY_FILE).read_text())
  except (OSError, ValueError):
    return None
  return found if isinstance(found, dict) and 'dataset' in found else None


def _without_nan(tree: Any) -> Any:
  """Replaces NaN, such as the accuracy of an empty class, with None."""
  match tree:
    case dict():
      return {name: _without_nan(value) for name, value in tree.items()}
    case list() | tuple():
      return [_without_nan(value) for value in tree]
    case float():
      return number(tree)
  return tree


def print_summary(
  summary: dict[str, Any], output: console.Console | None = None
) -> None:
  """Prints the tables and a sentence on the effect of distillation."""
  output = output or console.Console()
  measure = summary['measure']
  rows = _table(
    _title(summary),
    'MFLOPs and microseconds are per example',
    ('model',),
    (heading(measure), 'parameters', 'MB', 'MFLOPs', 'µs'),
  )
  teacher = summary['teacher']
  value = shown(teacher[measure['name']], measure)
  rows.add_row('teacher', *_cells(teacher, value))
  for run in ('scratch', 'distilled'):
    if summary[run]:
      rows.add_row(
        run, *_cells(summary[run], mean_and_std(summary[run], measure))
      )
  output.print(rows)
  _print_start(summary, output)
  if summary['gain']:
    output.print(verdict(summary['gain'], measure))
  _print_other_measures(summary, output)
  print_data(summary, output)
  if 'teacher_cache' in summary:
    output.print(
      'The teacher computed {computed:,} of {served:,} views; the others were '
      'kept.'.format(**summary['teacher_cache'])
    )
  _print_citation(summary, output)


def print_comparison(
  summary: dict[str, Any], output: console.Console | None = None
) -> None:
  """Prints several students of one experiment, and the gains between them."""
  output = output or console.Console()
  measure = summary['measure']
  rows = _table(
    _title(summary),
    None,
    ('model', 'taught by'),
    (f'its {heading(measure)}', heading(measure)),
  )
  for name, student in summary['students'].items():
    teacher = student.get('teacher')
    rows.add_row(
      name,
      student['model'],
      teacher['model'] if teacher else 'labels',
      shown(teacher[measure['name']], measure) if teacher else '',
      mean_and_std(student, measure),
    )
  output.print(rows)
  _print_start(summary, output)
  for gain in summary['gains']:
    output.print(difference(gain, measure, gain['of'], gain['over']))
  _print_other_comparisons(summary, output)
  print_data(summary, output)
  _print_citation(summary, output)


def _title(summary: dict[str, Any]) -> str:
  return (
    f'{summary["dataset"]}, {summary["method"]}: '
    f'{summary.get("split", "test")} {summary["measure"]["name"]} after the '
    f'last epoch, {len(summary["seeds"])} seed(s)'
  )


def print_data(
  summary: dict[str, Any], output: console.Console | None = None
) -> None:
  """Prints lines on the data: what was left out, and unbalanced classes."""
  output = output or console.Console()
  for line in summary.get('remarks', ()):
    # File and class names may hold what rich takes for markup.
    output.print(line, markup=False, highlight=False)
  if 'classes' in summary:
    counts = [count['train'] for count in summary['classes'].values()]
    output.print(
      f'Classes are unbalanced: {max(counts):,} to {min(counts):,} examples; '
      'see macro_f1, --class_weights'
    )


def _print_start(summary: dict[str, Any], output: console.Console) -> None:
  """Says that the student, also the control, began with trained parameters."""
  if summary.get('start') == 'pretrained':
    output.print(
      'The student starts from pretrained networks; scratch trains on from '
      'labels alone.'
    )


def _print_citation(summary: dict[str, Any], output: console.Console) -> None:
  """Names the function that gives the papers of the shipped methods."""
  methods = summary['method'].split(',')
  names = ', '.join(f"'{x}'" for x in methods if x in citations.METHODS)
  if names:
    output.print(f'BibTeX of the papers: kdjax.citation({names})')


def _others(summary: dict[str, Any]) -> list[dict[str, Any]]:
  """Returns all measures but the first and the cross-entropy."""
  return [
    found
    for name, found in summary['measures'].items()
    if name not in (summary['measure']['name'], 'loss')
  ]


def _print_other_measures(
  summary: dict[str, Any], output: console.Console
) -> None:
  """Prints a row with the gain for every other measure in the options."""
  others = _others(summary)
  if not others:
    return
  rows = _table('Other measures', None, (), ('teacher', 'scratch', 'distilled'))
  rows.add_column('gain', no_wrap=True)
  for found in others:
    rows.add_row(
      heading(found),
      shown(found['teacher'], found),
      mean_and_std(found['scratch'], found) if found['scratch'] else '',
      mean_and_std(found['distilled'], found),
      gain_cell(found['gain'], found) if found['gain'] else '',
    )
  output.print(rows)


def _print_other_comparisons(
  summary: dict[str, Any], output: console.Console
) -> None:
  """Prints a row with all students for every other measure in the options."""
  others = _others(summary)
  if not others:
    return
  rows = _table('Other measures', None, (), tuple(summary['students']))
  for found in others:
    rows.add_row(
      heading(found),
      *(mean_and_std(x, found) for x in found['students'].values()),
    )
  output.print(rows)


def _table(
  title: str,
  caption: str | None,
  texts: tuple[str, ...],
  numbers: tuple[str, ...],
) -> table.Table:
  rows = table.Table(
    title=title,
    caption=caption,
    box=box.SIMPLE_HEAD,
    padding=(0, 1, 0, 0),
    pad_edge=False,
  )
  rows.add_column('', no_wrap=True)
  for name in texts:
    rows.add_column(name, no_wrap=True)
  for name in numbers:
    rows.add_column(name, justify='right', no_wrap=True)
  return rows


def heading(measure: dict[str, Any]) -> str:
  """Returns a measure's name with its unit."""
  return f'{measure["name"]} {measure["unit"]}'.strip()


def shown(value: float, measure: dict[str, Any]) -> str:
  """Formats a value for reports: fractions in percent, without the sign."""
  if measure['unit'] == '%':
    return f'{100 * value:.2f}'
  return f'{value:.4f}'


def mean_and_std(values: dict[str, Any], measure: dict[str, Any]) -> str:
  """Formats the result of `spread`."""
  if values['mean'] is None:
    return 'none'
  mean, std = (shown(values[name], measure) for name in ('mean', 'std'))
  # The spread of a single seed is unknown.
  return f'{mean} ± {std}' if len(values[measure['name']]) > 1 else mean


def _signed(value: float, measure: dict[str, Any]) -> str:
  return f'{"+" if value >= 0 else ""}{shown(value, measure)}'


def gain_cell(gain: dict[str, Any], measure: dict[str, Any]) -> str:
  """Formats the result of `gain`, as in `+4.00 (+3.00 to +5.00)`."""
  if gain['mean'] is None:
    return 'none'
  low, high = gain['ci95']
  mean = _signed(gain['mean'], measure)
  if low is None:
    return mean
  return f'{mean} ({_signed(low, measure)} to {_signed(high, measure)})'


def _cells(network: dict[str, Any], value: str) -> tuple[str, ...]:
  return (
    network['model'],
    value,
    f'{network["parameters"]:,}',
    f'{network["bytes"] / 1e6:.3g}',
    f'{network["flops_per_example"] / 1e6:.3g}',
    f'{1e6 * network["seconds_per_example"]:.3g}',
  )


def verdict(gain: dict[str, Any], measure: dict[str, Any]) -> str:
  """Returns one sentence: distillation helped, hurt, or shows no gain.

  Args:
    gain: Result of `gain`.
    measure: The measure's `name`, `unit` and `higher_is_better`.
  """
  amount, interval = _amount(gain, measure)
  if interval is None:
    return (
      f'Distillation changed the {measure["name"]} by {amount}; one seed says '
      'nothing about chance.'
    )
  better = _better(gain, measure)
  if better is None:
    return f'No gain shown: {amount} ({interval}, which includes 0).'
  return (
    f'Distillation {"helped" if better else "HURT"}: {amount} ({interval}).'
  )


def difference(
  gain: dict[str, Any], measure: dict[str, Any], of: str, over: str
) -> str:
  """Returns one sentence: which of two is better, or that none is shown to be.

  >>> points = {'name': 'accuracy', 'unit': '%', 'higher_is_better': True}
  >>> difference({'mean': 0.02, 'ci95': [0.01, 0.03]}, points, 'a', 'b')
  'a is better than b: +2.00 points (95 % interval +1.00 to +3.00).'

  Args:
    gain: Result of `gain`; the difference of one from the other.
    measure: The measure's `name`, `unit` and `higher_is_better`.
    of: Name of the one.
    over: Name of the other.
  """
  amount, interval = _amount(gain, measure)
  if interval is None:
    return f'{of} over {over}: {amount}; one seed says nothing about chance.'
  better = _better(gain, measure)
  if better is None:
    return (
      f'No difference shown of {of} and {over}: {amount} ({interval}, which '
      'includes 0).'
    )
  word = 'better' if better else 'worse'
  return f'{of} is {word} than {over}: {amount} ({interval}).'


def _amount(
  gain: dict[str, Any], measure: dict[str, Any]
) -> tuple[str, str | None]:
  """Returns a gain and its interval in words; None for a single seed."""
  unit = 'points' if measure['unit'] == '%' else measure['unit']
  amount = f'{_signed(gain["mean"], measure)} {unit}'.strip()
  low, high = gain['ci95']
  if low is None:
    return amount, None
  ends = f'{_signed(low, measure)} to {_signed(high, measure)}'
  return amount, f'95 % interval {ends}'


def _better(gain: dict[str, Any], measure: dict[str, Any]) -> bool | None:
  """Returns whether a gain is one; None if its interval includes 0."""
  low, high = gain['ci95']
  if not low > 0 and not high < 0:
    return None
  return bool((low > 0) == measure['higher_is_better'])
