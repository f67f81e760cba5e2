"""Saved networks on a test set."""

import pathlib
from collections.abc import Mapping
from typing import Any

from kdjax import tasks, training
from kdjax.recipes import saved
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment


def evaluate(
  directory: str | pathlib.Path, task: Task | None = None
) -> list[dict[str, Any]]:
  """The measures of every network that a run has saved.

  A network normalises what it sees as it did in training, wherever the
  examples come from.

  Args:
    directory: `workdir/teacher`, `workdir/distilled`, ...
    task: Where to test; by default the images that the networks learned from.

  Returns:
    A dict per network: `model, dataset, seed, examples`, and its measures.

  Raises:
    CheckpointError: if there is no network.
    OptionError: if the data set is not there.
  """
  directory, note = saved.read_note(directory)
  if task is None:
    task = open_test(note, dataset=note['dataset'])
  experiment = Experiment(task, Budget(), directory)
  results = []
  for seed, network in zip(note['seeds'], saved.load(directory), strict=True):
    found = training.evaluate_network(experiment, network)
    results.append(
      {
        'model': network.name,
        'dataset': task.name,
        'seed': seed,
        **found.measures,
        'examples': len(task.test),
      }
    )
  return results


def open_test(note: Mapping[str, Any], **given: Any) -> Task:
  """Opens the data that saved networks are tested on.

  Images of unequal size are stored as they were for training.

  Args:
    note: From `read_note`.
    **given: Fields of `tasks.Options`, `dataset` among them.

  Raises:
    OptionError: if the data set is missing or unfit.
  """
  seen = note['batch']
  if 'size' in seen:
    # A canvas is as large as the largest image, at most as the option says.
    size = note.get('image_size')
    given = {'image_size': size, **given}
    if not given['dataset'].startswith('arrays:'):
      given['canvas'] = max(size or 1, *seen['image']['shape'][:2])
  return tasks.load(tasks.Options(**given))[1]
