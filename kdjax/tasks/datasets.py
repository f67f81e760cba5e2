"""Tasks on data sets, and on arrays in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdjax import data
from kdjax.data.npz import Arrays
from kdjax.tasks.task import Task, classification

# A larger ratio of the largest class to the smallest is unbalanced.
_BALANCED = 1.5


def images(
  train: Arrays,
  test: Arrays,
  *,
  name: str = 'images',
  classes: int | None = None,
  class_names: Sequence[str] = (),
  views: data.Views | None = None,
  reported: tuple[str, ...] = ('accuracy', 'loss'),
) -> Task:
  """Returns the task to classify images in memory.

  Networks should normalise the images: `data.of_arrays` measures the mean and
  the standard deviation, and `of_dataset` makes the same task of its result.

  >>> pixels, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
  >>> len(images((pixels, labels), (pixels, labels)).train)
  4

  Args:
    train: Images and labels for training: uint8 `[n, h, w, c]` or `[n, h, w]`,
      and integers `[n]` or `[n, 1]` from 0.
    test: Likewise for tests.
    name: Name of the data in reports.
    classes: Number of classes. Default: the largest label and one.
    class_names: Names of the classes; their numbers by default.
    views: The augmentation; none by default.
    reported: Names of measures, see `tasks.of_classes`.

  Raises:
    DataError: if an array is unfit.
    ValueError: if a measure is unknown, or the first has several values.
  """
  dataset = data.of_arrays(
    train, test, name=name, classes=classes, class_names=class_names
  )
  return of_dataset(dataset, views=views, reported=reported)


def of_dataset(
  dataset: data.Dataset,
  *,
  views: data.Views | None = None,
  reported: tuple[str, ...] = ('accuracy', 'loss'),
  split: str = 'test',
) -> Task:
  """Returns the task to classify the images of a data set.

  Args:
    dataset: From `data.folder`, `data.load`, ...
    views: The augmentation; none by default.
    reported: Names of measures, see `tasks.of_classes`.
    split: What the data set's test examples are: `test` or `validation`.

  Raises:
    ValueError: if a measure is unknown, or the first has several values.
  """
  task = classification(
    dataset.name,
    dataset.train,
    dataset.test,
    dataset.classes,
    views=views,
    reported=reported,
  )
  return task._replace(
    class_names=dataset.names, remarks=dataset.remarks, split=split
  )


def balanced_weights(labels: Any, classes: int) -> tuple[float, ...]:
  """Returns a weight per class in inverse proportion to its examples.

  The weight is `n / (present * n_c)`, as in scikit-learn, where `n_c` of the
  `n` examples have class `c` and `present` classes have an example. Its mean
  over the examples is 1. A class without examples has a weight of 1.

  >>> balanced_weights([0, 0, 0, 1], 2)
  (0.6666666666666666, 2.0)

  Args:
    labels: Integers `[n]`.
    classes: Number of classes.
  """
  counts = np.bincount(np.asarray(labels), minlength=classes)
  present = np.count_nonzero(counts)
  weights = counts.sum() / (present * np.maximum(counts, 1))
  return tuple(np.where(counts > 0, weights, 1.0).tolist())


def unbalanced(task: Task) -> dict[str, dict[str, int]] | None:
  """Returns the examples of every class if the training set is unbalanced.

  Args:
    task: A task whose classes have names. Its labels are read.

  Returns:
    `{name: {'train': examples, 'test': examples}}`, or None if the largest
    class has at most 1.5 times the examples of the smallest, or the classes
    have no names.
  """
  if not task.class_names:
    return None
  found = data.class_counts(task.class_names, task.train, task.test)
  counts = [count['train'] for count in found.values()]
  return found if max(counts) > _BALANCED * min(counts) else None
