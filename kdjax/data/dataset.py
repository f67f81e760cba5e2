"""A classification data set: its sources, classes and pixel statistics."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kdjax.data.arrays import Examples, Source

_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

# Mean and standard deviation of the whole training set, in units of the stored
# pixel. ImageNet has the rounded numbers (0.485, 0.456, ...; 0.229, ...) that
# published weights expect.
_KNOWN = {
  'cifar10': (
    (125.30691805, 122.95039414, 113.86538318),
    (62.99321928, 62.08870764, 66.70489964),
  ),
  'cifar100': (
    (129.30416561, 124.06996360, 112.43405006),
    (68.17024284, 65.39180285, 70.41836990),
  ),
  'imagenet2012': _IMAGENET,
}

_SAMPLE = 10_000
_CHUNK = 500


class Dataset(NamedTuple):
  """Images with one label each.

  Attributes:
    name: Name that was given to `load`, `folder:PATH` or `arrays:FILE`.
    classes: Number of classes; labels are `0..classes - 1`.
    image_shape: `(height, width, channels)`, for images of unequal size that of
      their canvas, see `kdjax.data.canvases`.
    train: Training examples.
    test: Test examples (the validation split where no test labels exist).
    mean: Mean of the training pixels per channel, in units of the stored pixel:
      0..255 for photographs, 0..16 for digits. `models.normalised` takes these
      numbers unchanged.
    std: Standard deviation per channel, in the same units.
    class_names: Names of the classes; `()` if they are not known.
    image_size: Side of the images that networks should see, the `size` of
      `models.resized`; None for the images as they are.
    remarks: Lines on what was left out, for reports.
  """

  name: str
  classes: int
  image_shape: tuple[int, int, int]
  train: Source
  test: Source
  mean: tuple[float, ...]
  std: tuple[float, ...]
  class_names: tuple[str, ...] = ()
  image_size: int | None = None
  remarks: tuple[str, ...] = ()

  @property
  def names(self) -> tuple[str, ...]:
    """Names of the classes; their numbers if the names are not known."""
    return self.class_names or tuple(map(str, range(self.classes)))

  def counts(self) -> dict[str, dict[str, int]]:
    """Counts the training and test examples of every class; reads labels."""
    return class_counts(self.names, self.train, self.test)


def class_counts(
  names: Sequence[str], train: Source, test: Source
) -> dict[str, dict[str, int]]:
  """Returns `{name: {'train': examples, 'test': examples}}` by class.

  >>> from kdjax.data.arrays import from_mapping
  >>> train = from_mapping({'label': [0, 0, 1]})
  >>> test = from_mapping({'label': [1]})
  >>> class_counts(('ant', 'bee'), train, test)['ant']
  {'train': 2, 'test': 0}

  Args:
    names: Names of the classes, in the order of their numbers.
    train: Training examples with an integer `label`.
    test: Test examples.
  """
  both = [
    np.bincount(source.labels(), minlength=len(names)).tolist()
    for source in (train, test)
  ]
  return {
    name: {'train': x, 'test': y}
    for name, x, y in zip(names, *both, strict=True)
  }


def known_statistics(
  name: str, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
  """Looks up the published mean and standard deviation of a data set.

  Args:
    name: Name in TFDS, without configuration and version.
    channels: Number of channels of the images.

  Returns:
    `(mean, std)` per channel, in units of the stored pixel (0..255), or None
    if no statistics of such images are known.
  """
  known = _KNOWN.get(name)
  return known if known and len(known[0]) == channels else None


def statistics(source: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Measures the pixels of a source, channel by channel, in float64.

  The function reads at most 10,000 images, evenly spaced over the source. A
  constant channel gets a standard deviation of 1, so that division is safe.

  Args:
    source: Source of at least one image.

  Returns:
    `(mean, std)`, each one number per channel in units of the stored pixel.

  Raises:
    ValueError: if `source` is empty.
  """
  if not len(source):
    raise ValueError('source must hold at least one image, got none.')
  count = min(len(source), _SAMPLE)
  sample = np.arange(count) * len(source) // count
  # Counting the 256 values a pixel can take is exact and needs no second pass.
  counts = np.sum(
    [
      _histogram(source.fetch(sample[start : start + _CHUNK]))
      for start in range(0, count, _CHUNK)
    ],
    axis=0,
  )
  values = np.arange(256, dtype=np.float64)
  total = counts.sum(axis=1)
  mean = counts @ values / total
  squares = (values - mean[:, None]) ** 2
  std = np.sqrt((counts * squares).sum(axis=1) / total)
  std[std == 0] = 1.0
  return tuple(mean.tolist()), tuple(std.tolist())


def _histogram(examples: Examples) -> np.ndarray:
  """Counts the values of each channel over real pixels: `[channels, 256]`."""
  image, size = examples['image'], examples.get('size')
  if size is None:
    pixels = image.reshape(-1, image.shape[-1])
  else:
    rows, columns = (np.arange(x)[None] for x in image.shape[1:3])
    inside = (rows < size[:, :1])[:, :, None] & (columns < size[:, 1:])[:, None]
    pixels = image[inside]
  return np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
