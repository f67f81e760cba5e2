"""Data sets of arrays: in memory, or in a file of NumPy."""

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdjax.data.arrays import DataError, Source, from_arrays
from kdjax.data.dataset import Dataset, statistics
from kdjax.data.order import held_out

# Keras, MedMNIST, and one split.
_NAMES = (
  ('x_train', 'y_train', 'x_test', 'y_test'),
  ('train_images', 'train_labels', 'test_images', 'test_labels'),
)
_WHOLE = ('image', 'label')
_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)

Arrays = tuple[Any, Any]  # Images and labels.


def of_arrays(
  train: Arrays,
  test: Arrays,
  *,
  name: str = 'arrays',
  classes: int | None = None,
  class_names: Sequence[str] = (),
  image_size: int | None = None,
) -> Dataset:
  """Returns a data set of images in memory.

  >>> images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
  >>> of_arrays((images, labels), (images, labels)).image_shape
  (8, 8, 1)

  Args:
    train: Images and labels for training: uint8 `[n, h, w, c]` or `[n, h, w]`,
      and integers `[n]` or `[n, 1]` from 0.
    test: Likewise for tests; images of the same shape.
    name: Name of the data in reports.
    classes: Number of classes. Default: the largest label and one.
    class_names: Names of the classes.
    image_size: Side to which networks resize the images; None for the images as
      they are.

  Raises:
    DataError: if an array is unfit; the message says what to do.
  """
  sources = [
    _source(images, labels, part)
    for (images, labels), part in ((train, 'train'), (test, 'test'))
  ]
  shapes = [source.arrays()['image'].shape[1:] for source in sources]
  if shapes[0] != shapes[1]:
    raise DataError(
      f'The images for training are {shapes[0]}, those for tests {shapes[1]};'
      ' they must have one shape.'
    )
  present = [np.unique(source.labels()) for source in sources]
  largest = int(max(labels.max() for labels in present)) + 1
  count = classes or len(class_names) or largest
  if largest > count:
    raise DataError(f'Labels must be below classes={count}, got {largest - 1}.')
  if class_names and len(class_names) != count:
    raise DataError(
      f'class_names must be {count} names, got {len(class_names)}.'
    )
  missing = sorted({*range(count)} - {*present[0].tolist()})
  if count < 2 or missing:
    found = f'none of class {missing[0]}' if missing else 'only one class'
    raise DataError(
      'Training needs examples of two or more classes, numbered from 0, it has '
      f'{found}.'
    )
  mean, std = statistics(sources[0])
  return Dataset(
    name,
    count,
    shapes[0],
    sources[0],
    sources[1],
    mean,
    std,
    class_names=tuple(class_names),
    image_size=image_size,
  )


def load_arrays(
  path: str,
  *,
  test_fraction: float | None = None,
  image_size: int | None = None,
) -> Dataset:
  """Opens images in a file of `numpy.savez`.

  The arrays are named as in Keras (`x_train`, `y_train`, `x_test`, `y_test`),
  as in MedMNIST (`train_images`, `train_labels`, `test_images`, `test_labels`),
  or `image` and `label` with `test_fraction`. Pickled objects are not read.

  Args:
    path: The file.
    test_fraction: Share of the examples of every class that are for tests, for
      a file of `image` and `label`.
    image_size: As for `of_arrays`.

  Raises:
    DataError: if the file cannot be read, an array is missing or unfit.
    ValueError: if `test_fraction` is out of range.
  """
  with _read(path) as file:
    names = set(file)
    wanted = next((x for x in (*_NAMES, _WHOLE) if set(x) <= names), None)
    if wanted is None:
      allowed = '; or '.join(', '.join(x) for x in (*_NAMES, _WHOLE))
      raise DataError(
        f'{path!r} must hold {allowed}; it holds '
        f'{", ".join(sorted(names)) or "nothing"}.'
      )
    arrays = [_array(path, file, name) for name in wanted]
  train, test = _split(path, wanted, arrays, test_fraction)
  return of_arrays(train, test, name=f'arrays:{path}', image_size=image_size)


def _read(path: str) -> Any:
  try:
    file = np.load(os.path.expanduser(path), allow_pickle=False)
  except _UNREADABLE as error:
    raise DataError(f'Cannot read {path!r}: {_reason(error)}.') from error
  if not isinstance(file, np.lib.npyio.NpzFile):
    raise DataError(f'{path!r} holds one array; save several with numpy.savez.')
  return file


def _array(path: str, file: Mapping[str, np.ndarray], name: str) -> np.ndarray:
  try:
    return file[name]
  except _UNREADABLE as error:
    raise DataError(
      f'Cannot read {name} of {path!r}: {_reason(error)}.'
    ) from error


def _reason(error: Exception) -> str:
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return ' '.join(str(error).split()).rstrip('.') or type(error).__name__


def _split(
  path: str,
  names: tuple[str, ...],
  arrays: list[np.ndarray],
  fraction: float | None,
) -> tuple[Arrays, Arrays]:
  """Returns training and test arrays."""
  if names != _WHOLE:
    if fraction is not None:
      raise DataError(
        f'{path!r} has {names[2]}, so test_fraction must not be given, got '
        f'{fraction}.'
      )
    return (arrays[0], arrays[1]), (arrays[2], arrays[3])
  if fraction is None:
    raise DataError(
      f'{path!r} has no test images; state the share of the examples that are '
      'for tests: test_fraction, such as 0.2.'
    )
  images, labels = arrays[0], _labels(arrays[1], 'label')
  is_test = held_out(labels, fraction)
  return (
    (images[~is_test], labels[~is_test]),
    (images[is_test], labels[is_test]),
  )


def _source(images: Any, labels: Any, part: str) -> Source:
  images, labels = np.asarray(images), _labels(labels, f'labels of {part}')
  if images.dtype != np.uint8:
    raise DataError(_not_pixels(images, part))
  if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[-1] > 4:
    raise DataError(
      f'The images of {part} are {list(images.shape)}, with channels first; '
      'move them last: images.transpose(0, 2, 3, 1).'
    )
  if not len(images):
    raise DataError(f'There are no images of {part}.')
  return from_arrays(images, labels)


def _not_pixels(images: np.ndarray, part: str) -> str:
  """Returns what to do with images that are not uint8."""
  text = f'The images of {part} are {images.dtype}'
  if images.size and images.dtype.kind in 'fiu':
    low, high = images.min(), images.max()
    text += f' within {low:g} and {high:g}'
    if images.dtype.kind == 'f' and low >= 0 and high <= 1:
      return text + '; store pixels: numpy.uint8(numpy.round(255 * images)).'
    if low >= 0 and high <= 255:
      return text + '; store pixels: numpy.uint8(numpy.round(images)).'
  return text + '; store pixels of 0 to 255 as uint8.'


def _labels(labels: Any, what: str) -> np.ndarray:
  labels = np.asarray(labels)
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.ndim != 1 or labels.dtype.kind not in 'iu':
    raise DataError(
      f'The {what} must be integers [n] or [n, 1], one class an example, got '
      f'{labels.dtype} of shape {list(labels.shape)}.'
    )
  return labels
