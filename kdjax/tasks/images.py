"""Image classification: data sets of TFDS, and scikit-learn's digits."""

import dataclasses

from kdjax import data, options
from kdjax.options import OptionError
from kdjax.tasks import measures
from kdjax.tasks.task import Task, classification

_VIEWS = {
  'none': data.identity_view(),
  'shift': data.crop_views(padding=1),
  'pad_crop_flip': data.crop_flip_views(padding=4),
}
_DIGITS = 'digits'
_DIGITS_EXAMPLES = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Data."""

  dataset: str = options.option(
    _DIGITS, 'A TFDS data set with `image` and `label`, or digits.'
  )
  data_dir: str | None = options.option(
    None, 'Directory of the TFDS data sets. Default: TFDS_DATA_DIR.'
  )
  transfer_examples: int | None = options.option(
    None,
    'Number of training examples that the student sees, balanced over the '
    'classes; 0 for all. Default: 120 for digits, all for other data sets.',
    options.Rule(lambda x: x >= 0, 'must be 0 or more'),
  )
  augmentation: str | None = options.option(
    None,
    f'Augmentation; one of {", ".join(_VIEWS)}. Default: shift for digits, '
    'pad_crop_flip otherwise.',
    options.one_of(_VIEWS),
  )
  measures: str = options.option(
    'accuracy',
    'Measures to report for every network beside cross-entropy (loss), '
    'separated by commas; reports compare networks by the first. Measures: '
    f'{", ".join(name for name in measures.names() if name != "loss")}.',
  )

  @property
  def is_digits(self) -> bool:
    """Whether the data are scikit-learn's digits."""
    return self.dataset == _DIGITS


def load(asked: Options) -> tuple[data.Dataset, Task]:
  """Opens the data set.

  Returns:
    The data set, and the task on all its examples. Only the images that the
    statistics need are decoded.

  Raises:
    OptionError: if the data set is missing or unfit, or a measure is unknown.
  """
  try:
    dataset = data.load(asked.dataset, asked.data_dir)
  except data.DataError as error:
    raise OptionError('dataset', asked.dataset, str(error)) from error
  names = tuple(name.strip() for name in asked.measures.split(','))
  reported = tuple(dict.fromkeys((*names, 'loss')))
  default = 'shift' if asked.is_digits else 'pad_crop_flip'
  views = _VIEWS[asked.augmentation or default]
  try:
    task = classification(
      dataset.name,
      dataset.train,
      dataset.test,
      dataset.classes,
      views=views,
      reported=reported,
    )
  except ValueError as error:
    raise OptionError('measures', asked.measures, str(error)) from error
  return dataset, task


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
  subset = data.transfer_subset(seed, task.train.labels(), wanted)
  return task._replace(train=task.train.take(subset))
