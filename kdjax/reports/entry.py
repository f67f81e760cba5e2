"""Distilled students, as tables of several distillations show them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdjax.reports.summary import gain


class Entry(NamedTuple):
  """The students of one distillation.

  Attributes:
    name: Name in tables and messages.
    settings: The settings that describe it, as text, by name.
    dataset: Name of the data.
    method: Name of the method.
    student: Architecture of the students.
    parameters: Number of parameters of a student.
    teacher: Architecture of the teacher.
    seeds: Seeds of the students.
    headline: Name of the first measure.
    measures: By name, a measure's `unit` and `higher_is_better`, the students'
      values (`distilled`, see `spread`), and the `gain` over the same students
      from scratch, or None.
    failed: Why there are no students, or None.
  """

  name: str
  settings: Mapping[str, str]
  dataset: str = ''
  method: str = ''
  student: str = ''
  parameters: int = 0
  teacher: str = ''
  seeds: tuple[int, ...] = ()
  headline: str = ''
  measures: Mapping[str, Any] = {}
  failed: str | None = None


def entries(
  name: str, settings: Mapping[str, str], summary: Mapping[str, Any]
) -> list[Entry]:
  """Reads a summary: an entry for each of its distilled students.

  Args:
    name: Name of the summary. A summary of several distillations, such as an
      ensemble's, has entries `name:ensemble`, ... that differ in `variant`.
    settings: The settings of all its students.
    summary: From `recipes.summarise` or `recipes.compare`, or `summary.json`.

  Raises:
    ValueError: if there are no distilled students.
  """
  if 'distilled' in summary:
    return [_one(name, settings, summary)]
  if 'students' in summary:
    return [
      _of_several(name, settings, summary, run)
      for run, student in summary['students'].items()
      if 'teacher' in student
    ]
  raise ValueError('its summary has no distilled student')


def _one(
  name: str, settings: Mapping[str, str], summary: Mapping[str, Any]
) -> Entry:
  return Entry(
    name,
    settings,
    measures=summary['measures'],
    **_described(summary, summary['distilled'], summary['teacher']),
  )


def _of_several(
  name: str, settings: Mapping[str, str], summary: Mapping[str, Any], run: str
) -> Entry:
  """Returns the entry of one student of a comparison."""
  student, headline = summary['students'][run], summary['measure']['name']
  # Summaries of kdjax 0.1 have the first measure only.
  measures = summary.get('measures') or {
    headline: {**summary['measure'], **summary}
  }
  found = {
    measure: {
      **{x: values[x] for x in ('name', 'unit', 'higher_is_better')},
      'distilled': values['students'][run],
      'gain': next(
        (
          {x: gain[x] for x in ('mean', 'ci95')}
          for gain in values['gains']
          if (gain['of'], gain['over']) == (run, 'scratch')
        ),
        None,
      ),
    }
    for measure, values in measures.items()
  }
  described = _described(summary, student, student['teacher'])
  # Assistants are trained once.
  count = len(student[headline])
  described['seeds'] = described['seeds'][:count]
  return Entry(
    f'{name}:{run}', {**settings, 'variant': run}, measures=found, **described
  )


def _described(
  summary: Mapping[str, Any],
  student: Mapping[str, Any],
  teacher: Mapping[str, Any],
) -> dict[str, Any]:
  return {
    'dataset': summary['dataset'],
    'method': summary['method'],
    'student': student['model'],
    'parameters': student['parameters'],
    'teacher': teacher['model'],
    'seeds': tuple(summary['seeds']),
    'headline': summary['measure']['name'],
  }


def gain_over(
  entry: Entry, base: Entry, measure: str | None = None
) -> dict[str, Any]:
  """Returns the gain of one entry over another, paired by seeds; see `gain`.

  Args:
    entry: The one.
    base: The other.
    measure: Name of the measure; the first by default.

  Raises:
    ValueError: if the two are not comparable; the message says why.
  """
  for field, words in (
    ('failed', 'one of them failed'),
    ('dataset', 'other data'),
    ('student', 'other students'),
    ('parameters', 'students of another size'),
    ('seeds', 'other seeds'),
  ):
    if getattr(entry, field) != getattr(base, field):
      raise ValueError(words)
  measure = measure or base.headline
  values = [
    x.measures[measure]['distilled'][measure] if measure in x.measures else None
    for x in (base, entry)
  ]
  if any(x is None or None in x for x in values):
    raise ValueError(f'no {measure}')
  return gain(*values)


def differing(found: Sequence[Entry]) -> dict[str, list[str]]:
  """Returns the settings in which entries differ, with their values.

  Numbers are sorted; names keep the order of the entries. A setting that an
  entry does not have counts as the value `default`.
  """
  names = dict.fromkeys(name for x in found for name in x.settings)
  values = {
    name: list(dict.fromkeys(x.settings.get(name, 'default') for x in found))
    for name in names
  }
  return {name: _sorted(x) for name, x in values.items() if len(x) > 1}


def _sorted(values: list[str]) -> list[str]:
  try:
    return sorted(values, key=float)
  except ValueError:
    return values
