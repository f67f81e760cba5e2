"""A classification data set: its sources, classes and pixel statistics."""

from typing import NamedTuple

import numpy as np

from kdjax.data.arrays import Source

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
  """Images of a fixed size with one label each.

  Attributes:
    name: Name that was given to `load`.
    classes: Number of classes; labels are `0..classes - 1`.
    image_shape: `(height, width, channels)`.
    train: Training examples.
    test: Test examples (the validation split where no test labels exist).
    mean: Mean of the training pixels per channel, in units of the stored pixel:
      0..255 for photographs, 0..16 for digits. `models.normalised` takes these
      numbers unchanged.
    std: Standard deviation per channel, in the same units.
  """

  name: str
  classes: int
  image_shape: tuple[int, int, int]
  train: Source
  test: Source
  mean: tuple[float, ...]
  std: tuple[float, ...]


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
      _histogram(source.fetch(sample[start : start + _CHUNK])['image'])
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


def _histogram(image: np.ndarray) -> np.ndarray:
  """Counts the values of each channel: `[channels, 256]`."""
  return np.stack(
    [
      np.bincount(image[..., channel].ravel(), minlength=256)
      for channel in range(image.shape[-1])
    ]
  )
