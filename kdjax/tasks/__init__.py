"""Tasks: the sources, views, objective and measures of networks.

`classification` makes a task of any two sources, `images` of arrays in memory,
`of_dataset` of a data set; `load` opens a data set of images by its options.
"""

from kdjax.tasks.datasets import (
  balanced_weights,
  images,
  of_dataset,
  unbalanced,
)
from kdjax.tasks.measures import (
  Measure,
  agreement,
  correct,
  of_classes,
  values,
)
from kdjax.tasks.measures import names as measure_names
from kdjax.tasks.opening import load, transfer
from kdjax.tasks.options import Options
from kdjax.tasks.task import (
  Task,
  batch_of_note,
  classification,
  note_of_batch,
  with_class_weights,
)

__all__ = [
  'Measure',
  'Options',
  'Task',
  'agreement',
  'balanced_weights',
  'batch_of_note',
  'classification',
  'correct',
  'images',
  'load',
  'measure_names',
  'note_of_batch',
  'of_classes',
  'of_dataset',
  'transfer',
  'unbalanced',
  'values',
  'with_class_weights',
]


def __dir__() -> list[str]:
  return sorted(__all__)
