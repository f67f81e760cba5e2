"""Data sets of images, opened by their options."""

import numpy as np

from kdjax import data
from kdjax.options import OptionError
from kdjax.tasks.datasets import balanced_weights, of_dataset
from kdjax.tasks.options import ARRAYS, FOLDER, SUBSETS, Options
from kdjax.tasks.task import Task, with_class_weights

_DIGITS_EXAMPLES = 120
# Colours per crop; with 1000 crops a teacher's cache can still number them.
_JITTERS = 20


def load(asked: Options) -> tuple[data.Dataset, Task]:
  """Opens the data set.

  Returns:
    The data set, and the task on all its examples. Of a data set of TFDS, only
    the images that the statistics need are decoded.

  Raises:
    OptionError: if the data set is missing or unfit, a measure is unknown, or
      options do not fit the data.
  """
  try:
    dataset = _opened(asked)
  except data.DataError as error:
    raise OptionError('dataset', asked.dataset, str(error)) from error
  split = 'test'
  if asked.validation_fraction is not None:
    dataset, split = (
      _validation(dataset, asked.validation_fraction),
      'validation',
    )
  unequal = 'size' in dataset.train.fetch([0])
  if unequal:
    seen = (
      f'Images of unequal size are seen at {dataset.image_size} x '
      f'{dataset.image_size} pixels (--image_size).'
    )
    dataset = dataset._replace(remarks=(seen, *dataset.remarks))
  views = _views(asked, dataset, unequal)
  names = tuple(name.strip() for name in asked.measures.split(','))
  reported = tuple(dict.fromkeys((*names, 'loss')))
  try:
    task = of_dataset(dataset, views=views, reported=reported, split=split)
  except ValueError as error:
    raise OptionError('measures', asked.measures, str(error)) from error
  opening = {
    name: getattr(asked, name) for name in ('test_fraction', 'broken_images')
  }
  if not asked.dataset.startswith((FOLDER, ARRAYS)):
    opening = {}
  return dataset, _weighted(asked, task._replace(opening=opening))


def transfer(asked: Options, task: Task, seed: int) -> Task:
  """Returns the task on the examples that a student sees.

  Args:
    asked: Options that give the number of examples.
    task: Task of `load`.
    seed: Seed that draws the examples.

  Raises:
    OptionError: if the task has fewer examples.
  """
  wanted = asked.transfer_examples
  if wanted is None:
    wanted = _DIGITS_EXAMPLES if asked.is_digits else 0
  available = len(task.train)
  if wanted > available:
    raise OptionError(
      'transfer_examples', wanted, f'must be at most {available}'
    )
  if wanted in (0, available):
    return task
  subset = SUBSETS[asked.transfer](seed, task.train.labels(), wanted)
  return _weighted(asked, task._replace(train=task.train.take(subset)))


def _opened(asked: Options) -> data.Dataset:
  """Returns the data set of a folder, a file of arrays, or TFDS."""
  form = next((x for x in (FOLDER, ARRAYS) if asked.dataset.startswith(x)), '')
  place = asked.dataset.removeprefix(form)
  for name, default, forms in (
    ('test_fraction', None, (FOLDER, ARRAYS)),
    ('broken_images', 'refuse', (FOLDER,)),
    ('canvas', None, (FOLDER, '')),
  ):
    value = getattr(asked, name)
    if value != default and form not in forms:
      words = ' or '.join(f'dataset={x}...' for x in forms if x)
      raise OptionError(name, value, f'needs {words}')
  if asked.canvas and asked.canvas < (asked.image_size or 1):
    raise OptionError(
      'canvas', asked.canvas, f'must be at least image_size={asked.image_size}'
    )
  if form == FOLDER:
    return data.folder(
      place,
      test_fraction=asked.test_fraction,
      image_size=asked.image_size,
      canvas=asked.canvas,
      broken=asked.broken_images,
    )
  if form == ARRAYS:
    return data.load_arrays(
      place, test_fraction=asked.test_fraction, image_size=asked.image_size
    )
  return data.load(
    place, asked.data_dir, image_size=asked.image_size, canvas=asked.canvas
  )


def _validation(dataset: data.Dataset, fraction: float) -> data.Dataset:
  """Returns the data set whose test examples are a part of the training set."""
  is_held_out = data.held_out(dataset.train.labels(), fraction)
  return dataset._replace(
    train=dataset.train.take(np.flatnonzero(~is_held_out)),
    test=dataset.train.take(np.flatnonzero(is_held_out)),
  )


def _views(asked: Options, dataset: data.Dataset, unequal: bool) -> data.Views:
  """Returns the augmentation, mixing included.

  Raises:
    OptionError: if it does not fit images of unequal size.
  """
  default = 'random_resized_crop' if unequal else 'pad_crop_flip'
  name = asked.augmentation or ('shift' if asked.is_digits else default)
  if name in ('shift', 'pad_crop_flip') and unequal:
    raise OptionError(
      'augmentation',
      name,
      'needs images of one size; must be none, random_resized_crop or '
      'random_resized_crop_jitter',
    )
  views = {
    'none': data.identity_view,
    'shift': lambda: data.crop_views(padding=1),
    'pad_crop_flip': lambda: data.crop_flip_views(padding=4),
  }.get(name, lambda: _resized_crop(name, dataset))()
  for flag in ('mixup', 'cutmix'):
    if getattr(asked, flag) and unequal and name == 'none':
      raise OptionError(
        flag,
        getattr(asked, flag),
        'needs images of one size, as augmentation=random_resized_crop gives',
      )
  return data.mixed(
    views, dataset.classes, mixup=asked.mixup, cutmix=asked.cutmix
  )


def _resized_crop(name: str, dataset: data.Dataset) -> data.Views:
  height, width, channels = dataset.image_shape
  if dataset.image_size is None and height != width:
    raise OptionError(
      'augmentation', name, f'needs image_size, as images are {height}x{width}'
    )
  crop = data.random_resized_crop_views(dataset.image_size or height)
  if name == 'random_resized_crop':
    return crop
  if channels not in (1, 3):
    raise OptionError(
      'augmentation', name, f'needs 1 or 3 channels, images have {channels}'
    )
  return data.chain_views(crop, data.colour_jitter_views(views=_JITTERS))


def _weighted(asked: Options, task: Task) -> Task:
  if asked.class_weights == 'none':
    return task
  weights = balanced_weights(task.train.labels(), len(task.class_names))
  return with_class_weights(task, weights)
