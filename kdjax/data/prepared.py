"""Checks and describes the files of a prepared data set."""

import re
from typing import Any

import numpy as np

from kdjax.data.arrays import DataError, Examples, Source
from kdjax.data.dataset import Dataset, known_statistics, statistics

FORMAT = 'array_record'
_CHUNK = 1000  # Images decoded at a time; memory holds them twice.
_PROBE = 64  # Images whose sizes are compared if none is declared.


def open_prepared(name: str, builder: Any) -> Dataset:
  """Returns the data set over prepared files.

  Args:
    name: Name as the user wrote it.
    builder: A TFDS builder over prepared files.

  Returns:
    The data set. Only a few images are decoded, or the sample for `statistics`
    if the mean and standard deviation are not known.

  Raises:
    DataError: if the files are not as `load` describes them.
  """
  _check_format(name, builder)
  classes = _check_features(name, builder)
  train, test = _splits(name, builder)
  declared = builder.info.features['image'].shape
  probe = train.fetch(
    np.arange(min(_PROBE if None in declared else 1, len(train)))
  )
  shape = probe['image'].shape[1:]
  known = known_statistics(re.split('[/:]', name)[0], shape[-1])
  mean, std = known or statistics(train)
  return Dataset(name, classes, shape, train, test, mean, std)


def first_line(error: Exception) -> str:
  """Returns the first line of an error, or the name of its type."""
  return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_format(name: str, builder: Any) -> None:
  formats = sorted(form.value for form in builder.info.available_file_formats())
  if FORMAT not in formats:
    raise DataError(
      f'{name!r} in {builder.data_dir} is prepared as'
      f' {", ".join(formats) or "an unknown format"}, not as {FORMAT}; convert'
      f' it with `tfds convert_format --dataset_version_dir={builder.data_dir}'
      f' --out_file_format={FORMAT}`.'
    )


def _check_features(name: str, builder: Any) -> int:
  """Returns the number of classes."""
  features = builder.info.features
  names = sorted(getattr(features, 'keys', list)())
  if 'image' not in names or 'label' not in names:
    raise DataError(
      f"{name!r} must have the features 'image' and 'label', it has"
      f' {", ".join(names) or "one without a name"}.'
    )
  image, classes = features['image'], features['label']
  if image.np_dtype != np.uint8 or len(image.shape) not in (2, 3):
    raise DataError(
      f"The feature 'image' of {name!r} must be uint8 of rank 2 or 3, it is"
      f' {np.dtype(image.np_dtype)} of shape {image.shape}.'
    )
  if not getattr(classes, 'num_classes', None):
    raise DataError(
      f"The feature 'label' of {name!r} must be a class, it is"
      f' {type(classes).__name__} of shape {classes.shape}.'
    )
  return classes.num_classes


def _splits(name: str, builder: Any) -> tuple[Source, Source]:
  """Returns training and test examples."""
  splits = builder.info.splits
  present = [split for split in splits if splits[split].num_examples]
  if 'train' in present:
    train = _source(name, builder, 'train')
    for split in ('test', 'validation'):
      if split in present:
        test = _source(name, builder, split)
        # Some contests keep the test labels secret and store them as -1.
        if test.fetch([0])['label'][0] >= 0:
          return train, test
  raise DataError(
    f"{name!r} must have the split 'train' and labels in 'test' or"
    f" 'validation', it has {', '.join(present) or 'no examples'}."
  )


def _source(name: str, builder: Any, split: str) -> Source:
  records = builder.as_data_source(split, file_format=FORMAT)
  for path in builder.info.splits[split].filepaths:
    if not path.exists():
      raise DataError(f'{name!r} is incomplete: {path} is missing.')
  shape = _image(records[0]).shape

  def read(indices: np.ndarray) -> Examples:
    image = np.empty((len(indices), *shape), np.uint8)
    label = np.empty(len(indices), np.int32)
    for start in range(0, len(indices), _CHUNK):
      chunk = indices[start : start + _CHUNK].tolist()
      for place, record in enumerate(records.__getitems__(chunk), start):
        one = _image(record)
        if one.shape != shape:
          raise DataError(
            f'The images of {name!r} differ in size: {shape} and {one.shape};'
            ' prepare them with one size.'
          )
        image[place], label[place] = one, record['label']
    return {'image': image, 'label': label}

  return Source(read, len(records))


def _image(record: Any) -> np.ndarray:
  image = np.asarray(record['image'])
  return image if image.ndim == 3 else image[..., None]
