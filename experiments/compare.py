r"""Compares runs that exist: one table, and who is better in words.

python -m experiments.compare runs/kd runs/dkd
python -m experiments.compare runs --axes='rows:temperature;columns:alpha'
python -m experiments.compare runs/sweep --measure=ece --out=runs/ece

Arguments: workdirs of distill, ensemble, assistants or sweep, or directories
with many of them.
"""

import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import app

from experiments import common, grid
from kdjax import reports
from kdjax.options import OptionError

common.define_own_flag(
  'Table',
  'measure',
  '',
  'The measure to compare. Default: the first measure of the first run.',
)
common.define_own_flag(
  'Table',
  'axes',
  '',
  'Which settings are the rows and columns, as in '
  'rows:temperature;columns:alpha. Default: a grid of the settings in which '
  'the runs differ, or a row per run.',
)
common.define_own_flag(
  'Table',
  'over',
  '',
  'Name of the run to compare each other run with, in words. Default: the '
  'first of at most 8 runs.',
)
common.define_own_flag(
  'Table', 'out', '', 'Directory for table.md, table.json and table.png.'
)

# Settings that do not decide a result.
_BESIDE = ('program', 'checkpoint_every', 'teacher_cache_dir', 'measures')
_MOST_IN_WORDS = 8


def main(argv: Sequence[str]) -> None:
  """Reads and reports the runs that the arguments name."""
  flag = common.FLAGS
  entries = list(_entries(argv[1:]))
  if not entries:
    common.fail('there is no finished run of distill; name directories of runs')
  known = dict.fromkeys(name for x in entries for name in x.measures)
  if flag.measure and flag.measure not in known:
    allowed = f'must be one of {", ".join(known)}'
    raise OptionError('measure', flag.measure, allowed)
  sides = grid.sides_of(flag.axes)
  try:
    table = reports.tabulate(
      entries,
      rows=sides.get('rows'),
      columns=sides.get('columns'),
      measure=flag.measure or None,
    )
  except reports.AxisError as error:
    raise OptionError('axes', flag.axes, str(error)) from error
  base = _base(entries)
  reports.print_grid(table)
  for line in _in_words(entries, base, table['measure']):
    print(line)
  if flag.out:
    reports.write_grid(flag.out, table)
    print(f'Written to {flag.out}')


def _entries(places: Sequence[str]) -> Iterator[reports.Entry]:
  """Reads all runs; says which have no result."""
  runs = [run for place in places for run in _runs(pathlib.Path(place))]
  runs = list(dict.fromkeys(runs))
  above = os.path.commonpath([str(x.absolute().parent) for x in runs] or ['/'])
  for run in runs:
    name = str(run.absolute().relative_to(above))
    summary = reports.read_summary(run)
    try:
      if summary is None:
        reason = reports.read_failure(run)
        raise ValueError(
          f'it failed: {reason}' if reason else 'it has no summary.json'
        )
      found = reports.entries(name, _settings(run, summary), summary)
    except ValueError as error:
      print(f'Skipped {name}: {error}')
      continue
    for entry in found:
      # The networks of the defaults have names, too.
      networks = {'student': entry.student, 'teacher': entry.teacher}
      yield entry._replace(settings={**entry.settings, **networks})


def _runs(place: pathlib.Path) -> list[pathlib.Path]:
  """The workdirs in a directory, itself included.

  Raises:
    OptionError: if there is no such directory.
  """
  if not place.is_dir():
    common.fail(f'{str(place)!r} is no directory; name directories of runs')
  names = {entry.name for entry in place.iterdir()}
  if 'summary.json' in names:
    return [place]
  # Saved models lie in numbered directories, which hold no runs.
  inside = [
    run
    for name in sorted(names)
    if name != 'checkpoints' and not name.isdigit()
    if (place / name).is_dir()
    for run in _runs(place / name)
  ]
  return inside or ([place] if 'settings.json' in names else [])


def _settings(run: pathlib.Path, summary: dict[str, Any]) -> dict[str, str]:
  """The settings of a run as text."""
  # Older summaries have none.
  known = summary.get('settings') or reports.read_settings(run)
  return {k: _text(v) for k, v in known.items() if k not in _BESIDE}


def _text(value: Any) -> str:
  match value:
    case None | '':
      return 'default'
    case bool():
      return str(value).lower()
    case float():
      return repr(value).removesuffix('.0')
  return str(value)


def _base(entries: Sequence[reports.Entry]) -> reports.Entry | None:
  """The run that the others are compared with.

  Raises:
    OptionError: if --over names no run.
  """
  over = common.FLAGS.over
  if not over:
    return entries[0] if len(entries) <= _MOST_IN_WORDS else None
  for entry in entries:
    if entry.name == over:
      return entry
  known = ', '.join(entry.name for entry in entries)
  raise OptionError('over', over, f'must be one of {known}')


def _in_words(
  entries: Sequence[reports.Entry],
  base: reports.Entry | None,
  measure: dict[str, Any],
) -> Iterator[str]:
  """A sentence for each run beside the one to compare with."""
  if base is None:
    yield '--over=RUN compares each run with one of them.'
    return
  for entry in entries:
    if entry is base:
      continue
    try:
      gain = reports.gain_over(entry, base, measure['name'])
    except ValueError as error:
      yield f'{entry.name} is not compared with {base.name}: {error}.'
    else:
      yield reports.difference(gain, measure, entry.name, base.name)


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=functools.partial(common.parse, arguments=True))
