"""Examples as named arrays, read by position."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Examples = dict[str, np.ndarray]

# Number of images read at a time if only their labels are needed.
_CHUNK = 1000


class DataError(ValueError):
  """Data is missing, or kdjax cannot read it; the message is one line."""


class Source:
  """Random access to examples that need not fit in memory.

  Several threads may use it if they may use `read`.
  """

  def __init__(
    self,
    read: Callable[[np.ndarray], Examples],
    length: int,
    kept: Examples | None = None,
    labels: Callable[[], np.ndarray] | None = None,
  ):
    """Wraps a function that reads examples.

    Args:
      read: Maps positions `[n]` within `0..length - 1` to
        `{'image': uint8 [n, h, w, c], 'label': int32 [n]}`; images of unequal
        size also have `size`, see `kdjax.data.canvases`.
      length: Number of examples.
      kept: All examples, if they are in memory already.
      labels: Reads all labels, if this is faster than reading the examples.
    """
    self._read = read
    self._length = length
    self._kept = kept
    self._labels = labels
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return self._length

  def fetch(self, indices: Any) -> Examples:
    """Reads the examples at these positions.

    Args:
      indices: Integers `[n]` within `0..len(source) - 1`, in any order,
        repeated as often as wanted.

    Returns:
      `{'image': uint8 [n, h, w, c], 'label': int32 [n]}`.

    Raises:
      ValueError: if `indices` is not a vector of integers within range.
      DataError: if the images differ in size.
    """
    indices = self._checked(indices)
    if self._kept is None:
      return self._read(indices)
    return _at(self._kept, indices)

  def arrays(self) -> Examples:
    """Reads all examples once; later calls return the same read-only arrays.

    Afterwards `fetch` and `take` decode nothing.

    Returns:
      `{'image': uint8 [n, h, w, c], 'label': int32 [n]}` of all examples.

    Raises:
      DataError: if the images differ in size.
    """
    with self._lock:
      if self._kept is None:
        self._kept = _read_only(self._read(np.arange(self._length)))
      return dict(self._kept)

  def labels(self) -> np.ndarray:
    """Reads all labels; keeps no further images in memory.

    Returns:
      int32 `[n]`.

    Raises:
      DataError: if the images differ in size.
    """
    if self._kept is not None:
      return self._kept['label']
    if self._labels is not None:
      return self._labels()
    starts = range(0, self._length, _CHUNK)
    parts = [
      self._read(np.arange(i, min(i + _CHUNK, self._length)))['label']
      for i in starts
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)

  def take(self, indices: Any) -> 'Source':
    """Returns a source of the examples at these positions.

    Args:
      indices: Integers `[n]` within `0..len(source) - 1`.

    Returns:
      A source of `n` examples; nothing is read yet.

    Raises:
      ValueError: if `indices` is not a vector of integers within range.
    """
    indices = self._checked(indices).copy()
    labels = None
    if self._labels is not None:
      labels = lambda: self.labels()[indices]  # noqa: E731
    return Source(
      lambda places: self.fetch(indices[places]), len(indices), labels=labels
    )

  def _checked(self, indices: Any) -> np.ndarray:
    indices = np.asarray(indices)
    if indices.size == 0:
      indices = indices.astype(np.int64)
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
      raise ValueError(
        'indices must be a vector of integers, got'
        f' {indices.dtype} of shape {indices.shape}.'
      )
    # NumPy would count a negative index from the end.
    wrong = indices[(indices < 0) | (indices >= self._length)]
    if wrong.size:
      raise ValueError(
        f'indices must be within 0..{self._length - 1}, got {wrong[0]}.'
      )
    return indices


def from_arrays(image: Any, label: Any) -> Source:
  """Returns a source over images and labels in memory.

  Args:
    image: uint8 `[n, h, w, c]`, or `[n, h, w]` for a single channel.
    label: Integers `[n]`, from 0.

  Returns:
    A source over the same memory: uint8 images are not copied.

  Raises:
    DataError: if a type or shape is wrong, or a label is negative.
  """
  image, label = np.asarray(image), np.asarray(label)
  if image.dtype != np.uint8 or image.ndim not in (3, 4):
    raise DataError(
      'image must be uint8 [n, h, w, c] or [n, h, w], got'
      f' {image.dtype} of shape {image.shape}.'
    )
  if not np.issubdtype(label.dtype, np.integer) or label.ndim != 1:
    raise DataError(
      'label must be a vector of integers, got'
      f' {label.dtype} of shape {label.shape}.'
    )
  if len(label) != len(image):
    raise DataError(
      f'label must be as long as image, got {len(label)} for {len(image)}.'
    )
  if label.size and label.min() < 0:
    raise DataError(f'label must be 0 or more, got {label.min()}.')
  image = image if image.ndim == 4 else image[..., None]
  return from_mapping({'image': image, 'label': label.astype(np.int32)})


def from_mapping(arrays: Mapping[str, Any]) -> Source:
  """Returns a source over arrays of any names in memory.

  Args:
    arrays: Arrays `[n, ...]` by name, such as `row` and `label`. Networks read
      them from a batch by these names. kdjax itself uses the names `index`,
      `weight` and `teacher`.

  Returns:
    A source over the same memory.

  Raises:
    DataError: if there is no array, kdjax uses a name, or lengths differ.
  """
  kept = {name: np.asarray(values) for name, values in arrays.items()}
  taken = sorted({'index', 'weight', 'teacher'} & set(kept))
  if not kept or taken:
    raise DataError(
      'arrays must have at least one name, and not index, weight or teacher, '
      f'got {", ".join(kept) or "none"}.'
    )
  lengths = {name: values.shape[:1] for name, values in kept.items()}
  if len(set(lengths.values())) > 1 or () in lengths.values():
    raise DataError(
      'arrays must have one row for each example, got shapes '
      f'{ {name: values.shape for name, values in kept.items()} }.'
    )
  kept = _read_only(kept)
  (length,) = next(iter(lengths.values()))
  return Source(lambda indices: _at(kept, indices), length, kept)


def _at(examples: Examples, indices: np.ndarray) -> Examples:
  return {name: values[indices] for name, values in examples.items()}


def _read_only(examples: Examples) -> Examples:
  views = {name: values.view() for name, values in examples.items()}
  for values in views.values():
    values.flags.writeable = False
  return views
