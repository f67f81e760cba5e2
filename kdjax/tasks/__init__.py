"""Tasks: the sources, views, objective and measures of networks.

`classification` makes a task of any two sources; `load` opens a data set of
images by its options.
"""

from kdjax.tasks.images import Options, load, transfer
from kdjax.tasks.measures import (
  Measure,
  agreement,
  correct,
  of_classes,
  values,
)
from kdjax.tasks.measures import names as measure_names
from kdjax.tasks.task import (
  Task,
  batch_of_note,
  classification,
  note_of_batch,
)

__all__ = [
  'Measure',
  'Options',
  'Task',
  'agreement',
  'batch_of_note',
  'classification',
  'correct',
  'load',
  'measure_names',
  'note_of_batch',
  'of_classes',
  'transfer',
  'values',
]


def __dir__() -> list[str]:
  return sorted(__all__)
