"""A task on any data."""

from collections.abc import Mapping, Sequence
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
    class_names: Names of the classes; `()` if there are none.
    class_weights: Weights of the classes in the cross-entropy with the labels,
      in the objective and in the methods; None for equal weights.
    remarks: Lines on the data for reports, such as what was left out.
    split: What the test examples are: `test`, or `validation` for a part of the
      training set.
    opening: Options that decide which examples are for tests, as JSON. Saved
      networks keep them, so that no evaluation tests on training examples.
  """

  name: str
  train: data.Source
  test: data.Source
  views: data.Views
  objective: LossTransform
  measures: Mapping[str, Measure]
  class_names: tuple[str, ...] = ()
  class_weights: tuple[float, ...] | None = None
  remarks: tuple[str, ...] = ()
  split: str = 'test'
  opening: Mapping[str, Any] = {}

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

  def augmented(self, examples: int = 2) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shapes and dtypes of a batch after the augmentation.

    Crops of another size change images, mixing changes labels to shares.

    Args:
      examples: Number of examples in the batch.
    """
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), examples))
    return jax.eval_shape(self.views.augment, keys, self.batch(examples))


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
    _objective(None),
    measures.of_classes(classes, reported),
  )


def with_class_weights(task: Task, weights: Sequence[float] | None) -> Task:
  """Returns the task with weights of the classes, objective included.

  >>> source = data.from_mapping({'label': [0, 0, 1]})
  >>> task = classification('three', source, source, 2)
  >>> with_class_weights(task, [0.75, 1.5]).class_weights
  (0.75, 1.5)

  Args:
    task: A task of `classification`.
    weights: One number per class, 0 or more; None for equal weights.
  """
  found = None if weights is None else tuple(weights)
  return task._replace(class_weights=found, objective=_objective(found))


def _objective(weights: tuple[float, ...] | None) -> LossTransform:
  labels = transforms.labels(class_weights=weights)
  return transforms.weighted_sum(labels=(1.0, labels))


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
