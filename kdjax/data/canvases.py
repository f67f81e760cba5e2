"""Canvases: images of unequal size in arrays of one shape.

A batch then holds `image`, uint8 `[n, height, width, channels]`, with each
image in the top left corner and zeros elsewhere, and `size`, int32 `[n, 2]`,
the height and width of its real part. Networks resize it inside XLA, see
`kdjax.models.resized`.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import PIL.Image

from kdjax.data.arrays import DataError, Examples
from kdjax.data.pictures import File, Size, decode, read_size, reduced

_LEAST, _MOST, _STEP = 32, 224, 32


def image_size_for(sizes: Sequence[Size]) -> int:
  """Returns the default side of images that networks see.

  The median shorter side, rounded down to a multiple of 32, within 32 and 224.

  >>> image_size_for([(500, 375), (333, 500), (80, 120)])
  224
  """
  median = int(np.median([min(size) for size in sizes])) if sizes else _LEAST
  return int(np.clip(median // _STEP * _STEP, _LEAST, _MOST))


def fitting(
  sizes: Iterable[Size], limit: int | None, channels: int = 3
) -> tuple[tuple[int, int, int], bool]:
  """Returns the smallest canvas of all images, and whether all fill it.

  Args:
    sizes: Heights and widths of the images.
    limit: Longest side of a stored image; None for no limit.
    channels: Number of channels.
  """
  after = {reduced(size, limit) for size in sizes}
  height, width = (max(size[axis] for size in after) for axis in (0, 1))
  return (height, width, channels), len(after) == 1


def drawn(
  pictures: Iterable[np.ndarray],
  shape: tuple[int, int, int],
  label: np.ndarray,
  equal: bool,
) -> Examples:
  """Draws images into canvases.

  Args:
    pictures: One image per label, uint8 `[height, width, channels]`.
    shape: Shape of a canvas.
    label: int32 `[n]`.
    equal: Whether all images fill the canvas; there is then no `size`.

  Returns:
    `image`, `label` and, for unequal images, `size`.

  Raises:
    DataError: if an image is larger than the canvas.
  """
  image = np.zeros((len(label), *shape), np.uint8)
  size = np.empty((len(label), 2), np.int32)
  for place, pixels in enumerate(pictures):
    height, width = size[place] = pixels.shape[:2]
    if height > shape[0] or width > shape[1]:
      raise DataError(
        f'An image has {height} x {width} pixels, more than the first images, '
        f'{shape[0]} x {shape[1]}; state canvas, the longest side of a stored '
        'image.'
      )
    image[place, :height, :width] = pixels
  found = {'image': image, 'label': label}
  return found if equal else {**found, 'size': size}


def read_images(
  images: Sequence[Any], *, shorter: int | None = None, channels: int = 3
) -> Examples:
  """Reads images of any sizes into canvases.

  Args:
    images: Paths of image files, or arrays, uint8 `[height, width, channels]`;
      at least one.
    shorter: Longest shorter side in pixels; larger images are reduced to it,
      antialiased. None for no limit.
    channels: 3 for RGB, 1 for grey.

  Returns:
    `image`, uint8 `[n, height, width, channels]`, and `size`, int32 `[n, 2]`.

  Raises:
    DataError: if an image cannot be read; the message names it.
  """
  pictures = [_read(image, shorter, channels) for image in images]
  shape, _ = fitting((x.shape[:2] for x in pictures), None, channels)
  found = drawn(pictures, shape, np.zeros(len(pictures), np.int32), equal=False)
  return {'image': found['image'], 'size': found['size']}


def _read(image: Any, shorter: int | None, channels: int) -> np.ndarray:
  if isinstance(image, np.ndarray):
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
      raise DataError(
        'An image must be uint8 [height, width, channels], got '
        f'{image.dtype} of shape {image.shape}.'
      )
    shown = image[..., 0] if image.shape[2:] == (1,) else image
    file: File = PIL.Image.fromarray(shown)
  else:
    file = os.fspath(image)
  try:
    limit, size = None, read_size(file)
    if shorter is not None and min(size) > shorter:
      limit = round(shorter * max(size) / min(size))
    return decode(file, limit, channels)
  except Exception as error:
    # Pillow repeats the path in its own words.
    reason = getattr(error, 'strerror', None)
    reason = reason or 'it is no image, or is damaged'
    raise DataError(f'Cannot read {str(image)!r}: {reason}.') from error
