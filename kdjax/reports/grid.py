"""Several distillations as one table: rows, columns, and what to read of it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdjax.reports.entry import Entry, differing

# The pseudo-axis of tables with a row per run.
RUN = 'run'


class AxisError(ValueError):
  """A table cannot have such axes; the message is one line."""


class Layout(NamedTuple):
  """The cells of a table in their places.

  Attributes:
    rows: The values of the row axes, one tuple per row.
    columns: The values of the column axes, one tuple per column.
    cells: By place `(row, column)`; places without a distillation are absent.
  """

  rows: list[tuple[str, ...]]
  columns: list[tuple[str, ...]]
  cells: dict[tuple[int, int], dict[str, Any]]


def tabulate(
  found: Sequence[Entry],
  axes: Mapping[str, Sequence[str]] | None = None,
  *,
  rows: Sequence[str] | None = None,
  columns: Sequence[str] | None = None,
  measure: str | None = None,
) -> dict[str, Any]:
  """Arranges distillations by the settings in which they differ.

  Args:
    found: The distillations, at least one.
    axes: Their axes: names of settings, with values in the order of the table;
      by default the settings in which they differ.
    rows: Axes of the rows. By default the longest axis, after all axes that
      are in neither `rows` nor `columns`.
    columns: Axes of the columns; by default the second longest.
    measure: Which measure; by default the first of the first entry.

  Returns:
    JSON: `title, measure, axes, rows, columns, cells, best, notes`. A cell has
    `name, settings, values, mean, std, gain, failed`; `best` is the name of the
    cell with the best mean, or None if cells cannot be compared. If two
    distillations have the same settings, or the axes are hardly crossed, there
    is a row per distillation.

  Raises:
    AxisError: if an axis is unknown or named twice.
    ValueError: if no entry has the measure.
  """
  measure = measure or next((x.headline for x in found if x.headline), '')
  axes = {k: [*v] for k, v in (axes or differing(found)).items()}
  described = _describe(found, measure)
  asked = rows is not None or columns is not None
  places = {_place(x, axes) for x in found}
  crossed = 2 * len(places) > _size(axes) or asked
  if len(places) < len(found) or not axes or not crossed:
    axes = {RUN: [x.name for x in found], **{k: axes[k] for k in axes}}
    found = [x._replace(settings={**x.settings, RUN: x.name}) for x in found]
    rows, columns = [*axes], []
  rows, columns = arrange(axes, rows, columns)
  cells = [_cell(x, axes, measure) for x in found]
  best = _best(found, cells, described)
  return {
    'title': _title(found, measure),
    'measure': described,
    'axes': axes,
    'rows': rows,
    'columns': columns,
    'cells': cells,
    'best': best,
    'notes': _notes(found, cells, axes, best, measure),
  }


def arrange(
  axes: Mapping[str, Sequence[str]],
  rows: Sequence[str] | None = None,
  columns: Sequence[str] | None = None,
) -> tuple[list[str], list[str]]:
  """Returns the axes of rows and of columns; see `tabulate`.

  Raises:
    AxisError: if an axis is unknown or named twice.
  """
  named = [*(rows or ()), *(columns or ())]
  for name in named:
    if name not in axes:
      known = ', '.join(axes) or 'there is none'
      raise AxisError(f'{name} is no axis; axes: {known}')
    if named.count(name) > 1:
      raise AxisError(f'names {name} twice')
  free = [name for name in axes if name not in named]
  # The sort is stable: of equally long axes the first comes first.
  longest = sorted(free, key=lambda name: -len(axes[name]))
  if rows is None:
    rows, longest = longest[:1], longest[1:]
  if columns is None:
    columns = [name for name in longest if len(axes[name]) > 1][:1]
  used = {*rows, *columns}
  return [*(name for name in axes if name not in used), *rows], [*columns]


def lay_out(table: Mapping[str, Any]) -> Layout:
  """Returns the places of a table's cells; `table` is from `tabulate`."""
  axes, cells = table['axes'], table['cells']

  def used(names):
    there = {tuple(x['settings'][name] for name in names) for x in cells}
    product = itertools.product(*(axes[name] for name in names))
    return [values for values in product if values in there]

  rows, columns = (used(table[side]) for side in ('rows', 'columns'))

  def place(cell):
    return tuple(
      values.index(tuple(cell['settings'][name] for name in table[side]))
      for side, values in (('rows', rows), ('columns', columns))
    )

  return Layout(rows, columns, {place(cell): cell for cell in cells})


def _describe(found: Sequence[Entry], measure: str) -> dict[str, Any]:
  """Returns name, unit and direction of a measure."""
  for entry in found:
    if measure in entry.measures:
      known = entry.measures[measure]
      return {x: known[x] for x in ('name', 'unit', 'higher_is_better')}
  if all(x.failed for x in found):
    return {'name': measure, 'unit': '', 'higher_is_better': True}
  known = dict.fromkeys(name for x in found for name in x.measures)
  raise ValueError(
    f'measure must be one of {", ".join(known)}, got {measure!r}.'
  )


def _place(entry: Entry, axes: Mapping[str, Any]) -> tuple[str, ...]:
  return tuple(entry.settings.get(name, 'default') for name in axes)


def _size(axes: Mapping[str, Sequence[str]]) -> int:
  size = 1
  for values in axes.values():
    size *= len(values)
  return size


def _cell(
  entry: Entry, axes: Mapping[str, Any], measure: str
) -> dict[str, Any]:
  values, gain, failed = None, None, entry.failed
  if not failed and measure in entry.measures:
    values = entry.measures[measure]['distilled']
    gain = entry.measures[measure]['gain']
  if not failed and (values is None or values['mean'] is None):
    values, failed = None, f'no {measure}'
  return {
    'name': entry.name,
    'settings': {x: entry.settings.get(x, 'default') for x in axes},
    'values': values and values[measure],
    'mean': values and values['mean'],
    'std': values and values['std'],
    'gain': gain if values else None,
    'failed': failed,
  }


def _best(
  found: Sequence[Entry],
  cells: Sequence[Mapping[str, Any]],
  measure: Mapping[str, Any],
) -> str | None:
  there = [x for x in cells if x['mean'] is not None]
  if len(there) < 2 or len({x.dataset for x in found if not x.failed}) > 1:
    return None
  sign = 1 if measure['higher_is_better'] else -1
  return max(there, key=lambda x: sign * x['mean'])['name']


def _title(found: Sequence[Entry], measure: str) -> str:
  there = [x for x in found if not x.failed]
  data = ', '.join(dict.fromkeys(x.dataset for x in there))
  methods = {x.method for x in there}
  words = [data, *methods] if len(methods) == 1 else [data]
  seeds = {len(x.seeds) for x in there}
  count = f', {seeds.pop()} seed(s)' if len(seeds) == 1 else ''
  return f'{", ".join(words)}: test {measure} after the last epoch{count}'


def _notes(
  found: Sequence[Entry],
  cells: Sequence[Mapping[str, Any]],
  axes: Mapping[str, Any],
  best: str | None,
  measure: str,
) -> list[str]:
  """Returns what a reader must know to compare the cells, one line each."""
  there = [x for x in found if not x.failed]
  notes = [f'{x["name"]} failed: {x["failed"]}' for x in cells if x['failed']]
  for words, known, values in (
    ('Data sets', 'dataset', [x.dataset for x in there]),
    ('First measures', '', [x.headline for x in there]),
    ('Seeds', 'seeds', [_numbers(x.seeds) for x in there]),
    ('Students', 'student', [x.student for x in there]),
    ('Teachers', 'teacher', [x.teacher for x in there]),
  ):
    if len({*values}) > 1 and known not in axes:
      notes.append(f'{words} differ: {"; ".join(dict.fromkeys(values))}.')
  if any(x['gain'] for x in cells):
    notes.append(
      'Entries: mean ± standard deviation over seeds, and the gain over the '
      'same student from scratch with its 95 % t interval.'
    )
  if best is not None:
    notes.append(
      f'Best {measure}: {best}, marked with *. The best of {len(there)} is '
      'flattered by the choice: test it again with other seeds.'
    )
  return notes


def _numbers(seeds: Sequence[int]) -> str:
  """Formats consecutive seeds, as in `0 to 4`."""
  return f'{seeds[0]} to {seeds[-1]}' if len(seeds) > 1 else str(seeds[0])
