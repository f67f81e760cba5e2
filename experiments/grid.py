"""The grid of a sweep: axes of flags, and a cell for each combination."""

import dataclasses
import difflib
import itertools
import re
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from experiments import common, wiring
from kdjax import methods, recipes, reports, tasks
from kdjax.options import OptionError
from kdjax.training import TeacherBudget, TeacherOptions

# A separator outside of quotes: an even number of them follows.
_OUTSIDE = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'
_LONGEST_NAME = 200
_REFUSED = {
  'measures': 'all cells report the same; name them in --measures',
  'data_dir': 'it decides nothing; name it in --data_dir',
  'teacher_cache_dir': 'cells share it; name it in --teacher_cache_dir',
  'checkpoint_every': 'it decides nothing; name it in --checkpoint_every',
}


def _flags(*classes: Any) -> set[str]:
  return {
    kind.prefix + field.name
    for kind in classes
    for field in dataclasses.fields(kind)
  }


# Flags of the data that do not give another teacher. The teacher keeps the
# budget and the augmentation outside of the grid; such axes are about students.
_OF_STUDENTS_DATA = {
  *('transfer_examples', 'transfer', 'augmentation', 'mixup', 'cutmix'),
}
_OF_TEACHER = {
  *(_flags(tasks.Options, TeacherBudget) - _OF_STUDENTS_DATA),
  *('data_seed', 'precision', 'sync_batch_norm', 'teacher_epochs'),
  *('teacher', 'teacher_checkpoint', 'teacher_mean', 'teacher_std'),
}
# Flags that change what a teacher's cache holds.
_OF_CACHE = {
  *_OF_TEACHER,
  *_OF_STUDENTS_DATA,
  *('stream', 'teacher_cache', 'teacher_cache_precision'),
}
# Flags that a student from scratch does not depend on.
_NOT_OF_SCRATCH = {
  *_flags(methods.Options, recipes.Options, TeacherOptions, TeacherBudget),
  *('teacher', 'teacher_checkpoint', 'teacher_mean', 'teacher_std'),
} - {'student_checkpoint'}


class Cell(NamedTuple):
  """One distillation of a sweep.

  Attributes:
    settings: Values as they were written, by axis.
    changes: The same values as flags have them.
  """

  settings: Mapping[str, str]
  changes: Mapping[str, Any]

  @property
  def name(self) -> str:
    """Name in messages, and of the cell's directory."""
    return _name(self.settings)

  @property
  def teacher(self) -> str:
    """Name of the teacher among those of the sweep; '' if there is one."""
    return self._part(self.settings.keys() & _OF_TEACHER)

  @property
  def scratch(self) -> str:
    """Name of the students from scratch; '' if all cells have the same."""
    return self._part(self.settings.keys() - _NOT_OF_SCRATCH)

  @property
  def cache(self) -> str:
    """Name of the teacher's cache; '' if all cells have the same."""
    return self._part(self.settings.keys() & _OF_CACHE)

  @property
  def of_teacher(self) -> dict[str, Any]:
    """The changes that concern the teacher."""
    return {k: v for k, v in self.changes.items() if k in _OF_TEACHER}

  def _part(self, axes: Collection[str]) -> str:
    return _name({k: v for k, v in self.settings.items() if k in axes})


def _name(settings: Mapping[str, str]) -> str:
  text = ','.join(f'{name}={value}' for name, value in settings.items())
  return urllib.parse.quote(text, safe='=,+.:')


def parse(text: str) -> dict[str, list[str]]:
  """Splits `NAME=VALUE,VALUE;NAME=VALUE,...` into axes.

  The first `=` ends the name. A value with a comma or a semicolon stands in
  double quotes, and so does an empty one.

  Raises:
    OptionError: if the text has another form, or an axis or value twice.
  """
  if text.count('"') % 2:
    raise OptionError('grid', text, 'has a quote that does not end')
  axes: dict[str, list[str]] = {}
  for axis in re.split(f';{_OUTSIDE}', text):
    name, separator, values = (x.strip() for x in axis.partition('='))
    if not name or not separator:
      raise OptionError(
        'grid', text, 'must be NAME=VALUE,VALUE,... with ; between names'
      )
    if name in axes:
      raise OptionError('grid', text, f'names {name} twice')
    if not values:
      raise OptionError('grid', text, f'{name} has no values')
    written = [x.strip() for x in re.split(f',{_OUTSIDE}', values)]
    if '' in written:
      raise OptionError(
        'grid', text, f'{name} has an empty value; write "" if it is meant'
      )
    axes[name] = [x.replace('"', '') for x in written]
  return axes


def cells(axes: Mapping[str, list[str]]) -> list[Cell]:
  """The cells of a grid; the last axis changes first.

  Raises:
    OptionError: if a flag is unknown, refuses a value, or has one twice.
  """
  values = {name: _typed(name, texts) for name, texts in axes.items()}
  found = [
    Cell(
      dict(zip(axes, texts, strict=True)), dict(zip(axes, typed, strict=True))
    )
    for texts, typed in zip(
      itertools.product(*axes.values()),
      itertools.product(*values.values()),
      strict=True,
    )
  ]
  for cell in found:
    if len(cell.name) > _LONGEST_NAME:
      raise OptionError(
        'grid',
        cell.name,
        f'makes a name of {len(cell.name)} letters; must be at most '
        f'{_LONGEST_NAME}',
      )
  return found


def _typed(name: str, texts: list[str]) -> list[Any]:
  """The values of an axis, as its flag reads them."""
  known = _flags(*wiring.DISTILLATION)
  if name not in known:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f'; did you mean {near[0]}?' if near else ''
    raise OptionError('grid', name, f'must be a flag of distill{hint}')
  if name in _REFUSED:
    raise OptionError('grid', name, f'is no axis: {_REFUSED[name]}')
  values: list[Any] = []
  parser = common.FLAGS[name].parser
  for text in texts:
    try:
      value = parser.parse(text)
    except (ValueError, TypeError) as error:
      allowed = f'must be {parser.syntactic_help or "true or false"}'
      raise OptionError('grid', f'{name}={text}', allowed) from error
    if value in values:
      raise OptionError('grid', f'{name}={text}', 'is there twice')
    values.append(value)
  return values


def arranged(
  text: str, axes: Mapping[str, list[str]]
) -> tuple[list[str], list[str]]:
  """The axes of rows and of columns that --axes asks for.

  Args:
    text: `rows:NAME,...;columns:NAME,...`, one or both; or nothing.
    axes: All axes, with their values.

  Raises:
    OptionError: if the text has another form, or names no axis.
  """
  sides = sides_of(text)
  try:
    return reports.arrange(axes, sides.get('rows'), sides.get('columns'))
  except reports.AxisError as error:
    raise OptionError('axes', text, str(error)) from error


def sides_of(text: str) -> dict[str, list[str]]:
  """Splits --axes into `rows` and `columns`, as far as they are named."""
  sides: dict[str, list[str]] = {}
  for part in filter(None, (x.strip() for x in text.split(';'))):
    side, _, names = (x.strip() for x in part.partition(':'))
    if side not in ('rows', 'columns') or side in sides:
      raise OptionError('axes', text, 'must be rows:NAME,...;columns:NAME,...')
    sides[side] = [x.strip() for x in names.split(',') if x.strip()]
  return sides
