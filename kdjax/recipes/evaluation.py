"""Saved networks on a test set."""

import pathlib
from collections.abc import Mapping
from typing import Any

from kdjax import data, models, tasks, training
from kdjax.models import Network
from kdjax.options import OptionError
from kdjax.recipes import saved
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment


def evaluate(
  directory: str | pathlib.Path,
  task: Task | None = None,
  *,
  teacher: Network | None = None,
) -> list[dict[str, Any]]:
  """The measures of every network that a run has saved.

  A network normalises what it sees as it did in training, wherever the
  examples come from.

  Args:
    directory: `workdir/teacher`, `workdir/distilled`, ..., or a file that
      `export` wrote.
    task: Where to test; by default the images that the networks learned from.
    teacher: The network to compare the answers with; None for no comparison.

  Returns:
    A dict per network: `model, dataset, seed, examples`, its measures, and its
    `agreement` with the teacher.

  Raises:
    CheckpointError: if there is no network.
    OptionError: if the data set is not there.
  """
  directory, note = saved.read_note(directory)
  if task is None:
    _, task = open_test(note, dataset=note['dataset'])
  networks = saved.load(directory)
  results = []
  for seed, network in zip(note['seeds'], networks, strict=True):
    found = evaluate_one(network, task, teacher=teacher)
    named = {'model': found.pop('model'), 'dataset': found.pop('dataset')}
    results.append({**named, 'seed': seed, **found})
  return results


def evaluate_one(
  network: Network, task: Task, *, teacher: Network | None = None
) -> dict[str, Any]:
  """The measures of one network, see `evaluate`; the dict has no `seed`."""
  asked = task
  if teacher is not None:
    measures = {**task.measures, 'agreement': tasks.agreement()}
    asked = task._replace(measures=measures)
    network = network._replace(model=models.beside(network.model, teacher))
  experiment = Experiment(asked, Budget(), pathlib.Path())
  found = training.evaluate_network(experiment, network)
  return {
    'model': network.name,
    'dataset': task.name,
    **found.measures,
    'examples': len(task.test),
  }


def open_test(
  note: Mapping[str, Any], **given: Any
) -> tuple[data.Dataset, Task]:
  """Opens the data that saved networks are tested on.

  Images of unequal size are stored as they were for training, and the same part
  of a folder or of arrays is for tests.

  Args:
    note: From `read_note`.
    **given: Fields of `tasks.Options`, `dataset` among them.

  Raises:
    OptionError: if the data set is missing or unfit, or another part of the
      training's data would be for tests.
  """
  if given['dataset'] == note['dataset']:
    kept = note.get('opening', {})
    asked = given.get('test_fraction')
    if kept and asked not in (None, kept['test_fraction']):
      raise OptionError(
        'test_fraction',
        asked,
        f'must be {kept["test_fraction"]}, as in training; another one would '
        'test on training examples',
      )
    given = {**kept, **given}
  seen = note['batch']
  if 'size' in seen:
    # A canvas is as large as the largest image, at most as the option says.
    size = note.get('image_size')
    given = {'image_size': size, **given}
    if not given['dataset'].startswith('arrays:'):
      given['canvas'] = max(size or 1, *seen['image']['shape'][:2])
  return tasks.load(tasks.Options(**given))
