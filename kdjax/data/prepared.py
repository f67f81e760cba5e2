"""Checks and describes the files of a prepared data set."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from kdjax.data import pictures
from kdjax.data.arrays import DataError, Examples, Source
from kdjax.data.canvases import drawn, image_size_for
from kdjax.data.dataset import Dataset, known_statistics, statistics
from kdjax.data.pictures import Size, read_size

T = TypeVar('T', range, list[int])
FORMAT = 'array_record'
_CHUNK = 1000  # Images decoded at a time; memory holds them twice.
_PROBE = 64  # Images whose sizes are compared if none is declared.


def open_prepared(
  name: str,
  builder: Any,
  undecoded: Any,
  *,
  image_size: int | None = None,
  canvas: int | None = None,
) -> Dataset:
  """Returns the data set over prepared files.

  Args:
    name: Name as the user wrote it.
    builder: A TFDS builder over prepared files.
    undecoded: TFDS' decoder that leaves an image as the bytes of its file.
    image_size: As for `load`.
    canvas: As for `load`.

  Returns:
    The data set. Only a few images are decoded, or the sample for `statistics`
    if the mean and standard deviation are not known.

  Raises:
    DataError: if the files are not as `load` describes them.
  """
  _check_format(name, builder)
  classes = _check_features(name, builder)
  declared = builder.info.features['image'].shape
  limit, raw = None, {'decoders': {'image': undecoded}}
  splits = _splits(name, builder)
  if None in declared:
    sizes = _probed(builder, splits[0], raw)
    if sizes and (canvas or len(set(sizes)) > 1):
      image_size = image_size or image_size_for(sizes)
      limit = canvas or 2 * image_size
  train, test = (
    _source(name, builder, split, raw, limit, declared[-1]) for split in splits
  )
  shape = train.fetch([0])['image'].shape[1:]
  known = known_statistics(re.split('[/:]', name)[0], shape[-1])
  mean, std = known or statistics(train)
  return Dataset(
    name,
    classes,
    shape,
    train,
    test,
    mean,
    std,
    class_names=tuple(builder.info.features['label'].names),
    image_size=image_size,
  )


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


def _splits(name: str, builder: Any) -> tuple[str, str]:
  """Returns the names of the training and the test split."""
  splits = builder.info.splits
  present = [split for split in splits if splits[split].num_examples]
  if 'train' in present:
    _check_files(name, builder, 'train')
    for split in ('test', 'validation'):
      if split in present:
        _check_files(name, builder, split)
        # Some contests keep the test labels secret and store them as -1.
        records = builder.as_data_source(split, file_format=FORMAT)
        if records[0]['label'] >= 0:
          return 'train', split
  raise DataError(
    f"{name!r} must have the split 'train' and labels in 'test' or"
    f" 'validation', it has {', '.join(present) or 'no examples'}."
  )


def _check_files(name: str, builder: Any, split: str) -> None:
  for path in builder.info.splits[split].filepaths:
    if not path.exists():
      raise DataError(f'{name!r} is incomplete: {path} is missing.')


def _probed(builder: Any, split: str, raw: dict[str, Any]) -> list[Size]:
  """Returns the sizes of some images, evenly spaced over a split.

  The list is empty if the images are not kept as image files.
  """
  records = builder.as_data_source(split, file_format=FORMAT, **raw)
  count = min(_PROBE, len(records))
  places = (np.arange(count) * len(records) // count).tolist()
  files = [record['image'] for record in records.__getitems__(places)]
  return [read_size(file) for file in files if isinstance(file, bytes)]


def _source(
  name: str,
  builder: Any,
  split: str,
  raw: dict[str, Any],
  limit: int | None,
  channels: int | None,
) -> Source:
  """Returns the examples of a split.

  Args:
    name: Name of the data set.
    builder: Its builder.
    split: Name of the split.
    raw: Arguments that leave images undecoded.
    limit: Side of the canvases of images of unequal size; None for images of
      one size.
    channels: Number of channels, if it is declared.
  """
  undecoded = builder.as_data_source(split, file_format=FORMAT, **raw)

  def labels() -> np.ndarray:
    found = np.empty(len(undecoded), np.int32)
    for chunk in _chunks(range(len(undecoded))):
      records = undecoded.__getitems__(list(chunk))
      found[chunk.start : chunk.stop] = [record['label'] for record in records]
    return found

  if limit is None:
    records = builder.as_data_source(split, file_format=FORMAT)
    return Source(_reader(name, records), len(records), labels=labels)
  shape = (limit, limit, channels or 3)

  def decode(record: Any) -> np.ndarray:
    return pictures.decode(record['image'], limit, shape[-1])

  def read(indices: np.ndarray) -> Examples:
    parts = []
    for chunk in _chunks(indices.tolist()):
      records = undecoded.__getitems__(chunk)
      label = np.array([record['label'] for record in records], np.int32)
      images = pictures.in_threads(decode, records)
      parts.append(drawn(images, shape, label, equal=False))
    return {k: np.concatenate([x[k] for x in parts]) for k in parts[0]}

  return Source(read, len(undecoded), labels=labels)


def _reader(name: str, records: Any) -> Callable[[np.ndarray], Examples]:
  """Returns a function that reads images of one size."""
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
            ' state canvas, the longest side of a stored image.'
          )
        image[place], label[place] = one, record['label']
    return {'image': image, 'label': label}

  return read


def _chunks(places: T) -> Iterator[T]:
  for start in range(0, len(places), _CHUNK):
    yield places[start : start + _CHUNK]


def _image(record: Any) -> np.ndarray:
  image = np.asarray(record['image'])
  return image if image.ndim == 3 else image[..., None]
