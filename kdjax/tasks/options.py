"""Options of the data: images of TFDS, of one's own, or the digits."""

import dataclasses

from kdjax import data, options
from kdjax.data.folders import BROKEN
from kdjax.tasks import measures

# Options of a data set, in the form that the documentation gives.
FOLDER, ARRAYS, DIGITS = 'folder:', 'arrays:', 'digits'
AUGMENTATIONS = (
  'none',
  'shift',
  'pad_crop_flip',
  'random_resized_crop',
  'random_resized_crop_jitter',
)
SUBSETS = {
  'balanced': data.transfer_subset,
  'proportional': data.proportional_subset,
}
CLASS_WEIGHTS = ('none', 'balanced')

_PART = options.Rule(lambda x: 0 < x < 1, 'must be above 0 and below 1')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Data."""

  dataset: str = options.option(
    DIGITS,
    'folder:PATH with PATH/train/CLASS and PATH/test/CLASS, arrays:FILE.npz, '
    'a TFDS data set with `image` and `label`, or digits.',
  )
  data_dir: str | None = options.option(
    None, 'Directory of the TFDS data sets. Default: TFDS_DATA_DIR.'
  )
  test_fraction: float | None = options.option(
    None,
    'Share of the examples of every class that are for tests, for a folder or '
    'arrays without test examples.',
    _PART,
  )
  validation_fraction: float | None = options.option(
    None,
    'Share of the training examples of every class that replace the test set, '
    'so that hyperparameters are not chosen on the test set.',
    _PART,
  )
  broken_images: str = options.option(
    BROKEN[0],
    f'What to do with broken files of a folder; one of {", ".join(BROKEN)}.',
    options.one_of(BROKEN),
  )
  image_size: int | None = options.option(
    None,
    'Side of the images that networks see; they are resized in the program. '
    'Default: the size of images of one size; otherwise the median shorter '
    'side, rounded down to a multiple of 32 within 32 and 224.',
    options.AT_LEAST_ONE,
  )
  canvas: int | None = options.option(
    None,
    'Longest side of a stored image of unequal size; larger images are '
    'reduced. Default: twice the image size.',
    options.AT_LEAST_ONE,
  )
  transfer_examples: int | None = options.option(
    None,
    'Number of training examples that the student sees; 0 for all. Default: '
    '120 for digits, all for other data sets.',
    options.Rule(lambda x: x >= 0, 'must be 0 or more'),
  )
  transfer: str = options.option(
    'balanced',
    'How the classes share transfer_examples: as many of every class, or in '
    f'proportion to the training set; one of {", ".join(SUBSETS)}.',
    options.one_of(SUBSETS),
  )
  augmentation: str | None = options.option(
    None,
    f'Augmentation; one of {", ".join(AUGMENTATIONS)}. Default: shift for '
    'digits, random_resized_crop for images of unequal size, pad_crop_flip '
    'otherwise.',
    options.one_of(AUGMENTATIONS),
  )
  mixup: float = options.option(
    0.0,
    'Alpha of mixup, which blends neighbours in the batch; 0 for none.',
    options.NOT_NEGATIVE,
  )
  cutmix: float = options.option(
    0.0,
    'Alpha of cutmix, which swaps rectangles of neighbours in the batch; 0 for '
    'none. With mixup, each pair is mixed in one of both ways.',
    options.NOT_NEGATIVE,
  )
  class_weights: str = options.option(
    CLASS_WEIGHTS[0],
    'Weights of the classes in the cross-entropy with the labels, of teacher '
    'and students; balanced: in inverse proportion to their examples. One of '
    f'{", ".join(CLASS_WEIGHTS)}.',
    options.one_of(CLASS_WEIGHTS),
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
    return self.dataset == DIGITS
