"""A task on any data."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from kdjax import data, transforms
from kdjax.tasks import measures
from kdjax.tasks.measures import Measure
from kdjax.transforms import LossTransform


class Task(NamedTuple):
  """A task: the examples, the objective, and the measures that judge it.

  Attributes:
    name: Name of the data in reports and notes.
    train: Training examples.
    test: Test examples.
    views: The augmentation of training examples.
    objective: The loss from labels alone.
    measures: Measures by name that reports show for the test examples; the
      first measure decides whether distillation helped.
  """

  name: str
  train: data.Source
  test: data.Source
  views: data.Views
  objective: LossTransform
  measures: Mapping[str, Measure]

  def batch(self, examples: int = 2) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shapes and dtypes of a batch, for `init` and `jax.eval_shape`.

    Args:
      examples: Number of examples in the batch.
    """
    shown = {
      **self.train.fetch(np.zeros(1, np.int64)),
      'index': np.zeros(1, np.int32),
      'weight': np.zeros(1, np.float32),
    }
    return {
      name: jax.ShapeDtypeStruct((examples, *values.shape[1:]), values.dtype)
      for name, values in shown.items()
    }


def classification(
  name: str,
  train: data.Source,
  test: data.Source,
  classes: int,
  *,
  views: data.Views | None = None,
  reported: tuple[str, ...] = ('accuracy', 'loss'),
) -> Task:
  """Returns the task to predict every example's class, `batch['label']`.

  Args:
    name: Name of the data.
    train: Training examples with an integer `label`.
    test: Test examples with an integer `label`.
    classes: Number of classes.
    views: The augmentation; none by default.
    reported: Names of measures, see `tasks.measures.of_classes`. The first
      measure must have one value, so it cannot be `class_accuracy`.

  Raises:
    ValueError: if a measure is unknown, or the first has several values.
  """
  if reported[:1] == ('class_accuracy',):
    raise ValueError('class_accuracy has a value per class: name another first')
  return Task(
    name,
    train,
    test,
    views or data.identity_view(),
    transforms.weighted_sum(labels=(1.0, transforms.labels())),
    measures.of_classes(classes, reported),
  )


def note_of_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the shapes of a batch's examples as JSON, for saved notes."""
  return {
    name: {'shape': list(x.shape[1:]), 'dtype': np.dtype(x.dtype).name}
    for name, x in batch.items()
  }


def batch_of_note(
  note: Mapping[str, Any], examples: int = 2
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the batch whose shapes `note_of_batch` returned."""
  return {
    name: jax.ShapeDtypeStruct((examples, *x['shape']), np.dtype(x['dtype']))
    for name, x in note.items()
  }
