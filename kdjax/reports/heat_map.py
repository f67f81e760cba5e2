"""A table of several distillations as a picture."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import figure, patches

from kdjax.reports.grid import lay_out
from kdjax.reports.summary import gain_cell, heading, mean_and_std

# In inches.
_CELL_WIDTH, _CELL_HEIGHT, _PER_LETTER = 2.2, 0.7, 0.085
_FAILED = '0.85'


def plot_grid(path: str | pathlib.Path, found: Mapping[str, Any]) -> None:
  """Draws a table of `tabulate` as a heat map with its numbers.

  The colour is the mean. The best cell has a frame; failed cells are grey.

  Args:
    path: Where the picture goes.
    found: The table.
  """
  layout, measure = lay_out(found), found['measure']
  rows = _labels(found['rows'], layout.rows)
  columns = _labels(found['columns'], layout.columns)
  letters = max(len(label) for label in rows)
  widest = max(len(label) for label in columns)
  width = max(_CELL_WIDTH, _PER_LETTER * widest)
  size = (
    max(6, width * len(columns) + _PER_LETTER * letters + 1.5),
    _CELL_HEIGHT * len(rows) + 1.3,
  )
  # Unlike pyplot, a figure's own canvas needs no display and no global state.
  picture = figure.Figure(figsize=size, layout='constrained')
  axes = picture.subplots()
  scale = 100 if measure['unit'] == '%' else 1
  means = np.full((len(rows), len(columns)), np.nan)
  for place, cell in layout.cells.items():
    if cell['mean'] is not None:
      means[place] = scale * cell['mean']
  colours = 'viridis' if measure['higher_is_better'] else 'viridis_r'
  axes.set_facecolor('white')
  image = axes.imshow(
    np.ma.masked_invalid(means),
    cmap=colours,
    aspect='auto',
    interpolation='none',
  )
  for place, cell in layout.cells.items():
    _draw(axes, place, cell, found, image)
  axes.set_xticks(range(len(columns)), columns)
  axes.set_yticks(range(len(rows)), rows)
  axes.tick_params(length=0)
  picture.suptitle(found['title'], fontsize='medium')
  if np.isfinite(means).any():
    picture.colorbar(image, ax=axes, label=heading(measure))
  picture.savefig(path, dpi=100)


def _labels(names: list[str], values: list[tuple[str, ...]]) -> list[str]:
  return [
    ', '.join(f'{n}={v}' for n, v in zip(names, row, strict=True))
    for row in values
  ]


def _draw(
  axes: Any,
  place: tuple[int, int],
  cell: Mapping[str, Any],
  found: Mapping[str, Any],
  image: Any,
) -> None:
  """Writes the numbers of a cell, and frames or greys it."""
  (row, column), measure = place, found['measure']
  corner = (column - 0.5, row - 0.5)
  if cell['failed']:
    axes.add_patch(patches.Rectangle(corner, 1, 1, color=_FAILED))
    axes.text(column, row, 'failed', ha='center', va='center')
    return
  text = mean_and_std({**cell, measure['name']: cell['values']}, measure)
  if cell['gain']:
    text += '\n' + gain_cell(cell['gain'], measure)
  scale = 100 if measure['unit'] == '%' else 1
  red, green, blue, _ = image.cmap(image.norm(scale * cell['mean']))
  # The luminance of ITU-R BT.709.
  bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
  axes.text(
    column,
    row,
    text,
    ha='center',
    va='center',
    color='black' if bright else 'white',
    fontsize='small',
  )
  if cell['name'] == found['best']:
    axes.add_patch(
      patches.Rectangle(
        corner, 1, 1, fill=False, edgecolor='crimson', linewidth=4
      )
    )
