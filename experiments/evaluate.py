r"""Evaluates saved models, and models from PyTorch, on a test set.

python -m experiments.evaluate --checkpoint=runs/NAME/distilled
python -m experiments.evaluate --checkpoint=resnet56_cifar10.safetensors \
      --model=resnet56 --dataset=cifar10
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import app, flags

from experiments import common, networks
from kdjax import data, models, recipes, tasks
from kdjax.models import Network
from kdjax.options import OptionError
from kdjax.tasks import Task

# A line with more accuracies of classes would be hard to read.
_MANY_CLASSES = 100
# Options of their own, and options that decide how networks train.
_WITHOUT = (
  *('dataset', 'measures', 'transfer_examples', 'transfer', 'augmentation'),
  *('mixup', 'cutmix', 'class_weights', 'validation_fraction', 'canvas'),
)

common.define_own_flag(
  'Networks',
  'checkpoint',
  None,
  'A directory of saved models (teacher, scratch or distilled of a workdir), '
  'or a .safetensors or .pth file.',
)
common.define_own_flag(
  'Networks',
  'model',
  None,
  f'Architecture of a file that PyTorch wrote; one of '
  f'{", ".join(models.names())}.',
)
common.define_own_flag(
  'Networks',
  'mean',
  None,
  'Mean per channel, as a share of 255, of the images that such a file '
  'expects. Default: that of ImageNet.',
)
common.define_own_flag(
  'Networks', 'std', None, 'Standard deviation per channel, likewise.'
)
common.define_own_flag(
  'Networks',
  'teacher_checkpoint',
  None,
  'The teacher, to report how often the models agree with it. Default: the '
  'directory teacher beside the checkpoint, if there is one.',
)
common.define_own_flag(
  'Data',
  'dataset',
  None,
  'Another data set than the one the models learned from.',
)
common.define_own_flag(
  'Data',
  'measures',
  None,
  'Measures, with commas. Default: all; class_accuracy up to '
  f'{_MANY_CLASSES} classes.',
)
common.define_flags(tasks.Options, without=_WITHOUT)
flags.mark_flag_as_required('checkpoint')


def main(argv: Sequence[str]) -> None:
  """Prints a line of JSON per model."""
  del argv
  for result in _results():
    print(json.dumps(result))


def _results() -> Iterator[dict[str, Any]]:
  flag = common.FLAGS
  place = flag.checkpoint
  if not _is_foreign(place):
    directory, note = recipes.read_note(place)
    given = {**_given(), 'dataset': flag.dataset or note['dataset']}
    dataset, task = recipes.open_test(note, **given)
    teacher = _teacher(directory)
    task = _measured(dataset, task)
    yield from recipes.evaluate(directory, task, teacher=teacher)
    return
  if not flag.dataset:
    raise OptionError('checkpoint', place, 'needs --dataset')
  dataset, task = tasks.load(tasks.Options(**_given(), dataset=flag.dataset))
  network = networks.load_weights(
    place, dataset, flag.model, flag='model', mean=flag.mean, std=flag.std
  )
  task = _measured(dataset, task)
  yield recipes.evaluate_one(network, task, teacher=_teacher())


def _is_foreign(place: str) -> bool:
  """Whether a file does not say which network it holds."""
  return models.is_weights(place) and not models.read_torch_note(place)


def _given() -> dict[str, Any]:
  """The options of the data that are given."""
  names = ('data_dir', 'test_fraction', 'broken_images', 'image_size')
  found = {name: common.FLAGS[name] for name in (*names, 'measures')}
  return {name: flag.value for name, flag in found.items() if flag.present}


def _measured(dataset: data.Dataset, task: Task) -> Task:
  """The task with all measures where the flag names none."""
  if common.FLAGS.measures:
    return task
  names = tasks.measure_names(dataset.classes)
  if dataset.classes > _MANY_CLASSES:
    names = tuple(name for name in names if name != 'class_accuracy')
  return task._replace(measures=tasks.of_classes(dataset.classes, names))


def _teacher(directory: pathlib.Path | None = None) -> Network | None:
  place = common.FLAGS.teacher_checkpoint
  if not place:
    beside = directory and directory.parent / 'teacher'
    if not beside or beside == directory or not beside.is_dir():
      return None
    place = str(beside)
  return recipes.load(place)[0]


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
