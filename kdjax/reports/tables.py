"""Tables of several distillations: printed, as Markdown, and as files."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from rich import box, console, markup, table

from kdjax.reports.grid import lay_out
from kdjax.reports.heat_map import plot_grid
from kdjax.reports.recorder import write_atomically
from kdjax.reports.summary import gain_cell, heading, mean_and_std


def print_grid(
  found: Mapping[str, Any], output: console.Console | None = None
) -> None:
  """Prints a table of `tabulate`, and its notes."""
  output = output or console.Console()
  rows = table.Table(
    title=markup.escape(found['title']),
    box=box.SIMPLE_HEAD,
    padding=(0, 1, 0, 0),
    pad_edge=False,
  )
  header, lines = _lines(found, '\n')
  for place, name in enumerate(header):
    rows.add_column(
      markup.escape(name),
      justify='left' if place < len(found['rows']) else 'right',
      overflow='fold',
    )
  for line in lines:
    rows.add_row(*(markup.escape(x) for x in line))
  output.print(rows)
  for note in found['notes']:
    output.print(note, markup=False, highlight=False)


def markdown(found: Mapping[str, Any]) -> str:
  """Returns a table of `tabulate` as Markdown, with its notes."""
  header, lines = _lines(found, '<br>')
  numbers = len(header) - len(found['rows'])
  rule = ['---'] * len(found['rows']) + ['---:'] * numbers
  rows = [
    f'| {" | ".join(x.replace("|", chr(92) + "|") for x in line)} |'
    for line in (header, rule, *lines)
  ]
  notes = ''.join(f'\n- {note}' for note in found['notes'])
  return '\n'.join([f'**{found["title"]}**', '', *rows, notes, ''])


def write_grid(directory: str | pathlib.Path, found: Mapping[str, Any]) -> None:
  """Writes `table.json`, `table.md` and `table.png` of a table of `tabulate`.

  Args:
    directory: Where they go; created if it is missing.
    found: The table.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  text = json.dumps(found, indent=2, allow_nan=False)
  write_atomically(directory / 'table.json', text + '\n')
  write_atomically(directory / 'table.md', markdown(found))
  plot_grid(directory / 'table.png', found)


def _lines(
  found: Mapping[str, Any], newline: str
) -> tuple[list[str], list[list[str]]]:
  """Returns the header and the rows as text."""
  layout, measure = lay_out(found), found['measure']
  apart = not found['columns']
  if apart:
    columns = [heading(measure), 'gain over scratch']
  else:
    columns = [
      ', '.join(
        f'{name}={value}'
        for name, value in zip(found['columns'], values, strict=True)
      )
      for values in layout.columns
    ]
  lines = []
  for row, values in enumerate(layout.rows):
    line = [*values]
    for column in range(len(layout.columns)):
      cell = layout.cells.get((row, column))
      texts = _texts(cell, found) if cell else ('', '')
      line += texts if apart else [newline.join(filter(None, texts))]
    lines.append(line)
  return [*found['rows'], *columns], lines


def _texts(
  cell: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[str, str]:
  """Returns the mean of a cell and its gain as text."""
  measure = found['measure']
  if cell['failed']:
    return 'failed', ''
  values = {**cell, measure['name']: cell['values']}
  mark = ' *' if cell['name'] == found['best'] else ''
  gain = gain_cell(cell['gain'], measure) if cell['gain'] else ''
  return mean_and_std(values, measure) + mark, gain
