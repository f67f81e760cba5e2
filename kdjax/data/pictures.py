"""Image files, decoded by Pillow to pixels of 8 bits."""

import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, TypeVar

import numpy as np
import PIL.Image
import PIL.ImageOps

T = TypeVar('T')
# A path, the contents of a file, or an opened image.
File = str | bytes | PIL.Image.Image
Size = tuple[int, int]  # Height and width.

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange height and width.
_THREADS = min(16, os.cpu_count() or 1)
# A reduction to twice the target by whole factors costs no visible quality.
_GAP = 2.0


def extensions() -> frozenset[str]:
  """Returns the suffixes, in lower case, of the images that Pillow reads."""
  found = PIL.Image.registered_extensions()
  return frozenset(k for k, form in found.items() if form in PIL.Image.OPEN)


def read_size(file: File) -> Size:
  """Returns an image's height and width, upright; reads the header only.

  Raises:
    Exception: whatever Pillow raises for a file that it cannot read.
  """
  with _opened(file) as picture:
    return _upright_size(picture)


def decode(
  file: File, limit: int | None = None, channels: int = 3
) -> np.ndarray:
  """Decodes an image: upright, 8 bits, at most `limit` pixels a side.

  EXIF rotation is applied. Grey, palette and CMYK images become RGB. 16 bits
  are scaled to 8. Transparent pixels are shown on white. Of an animation, the
  first frame is taken. A larger image is reduced, antialiased; its aspect ratio
  stays.

  Args:
    file: The path, or the bytes of the file.
    limit: Longest side of the result; None for no limit.
    channels: 3 for RGB, 1 for grey.

  Returns:
    uint8 `[height, width, channels]`.

  Raises:
    Exception: whatever Pillow raises for a file that it cannot read.
  """
  with _opened(file) as picture:
    size = _upright_size(picture)
    height, width = reduced(size, limit)
    if (height, width) != size:
      # JPEG files decode faster at 1/2, 1/4 or 1/8.
      least = math.ceil(_GAP * max(height, width))
      picture.draft(None, (least, least))
    upright = PIL.ImageOps.exif_transpose(picture)
    shown = _eight_bits(upright).convert('RGB' if channels == 3 else 'L')
    if shown.size != (width, height):
      shown = shown.resize(
        (width, height), PIL.Image.Resampling.BILINEAR, reducing_gap=_GAP
      )
  pixels = np.asarray(shown)
  return pixels if pixels.ndim == 3 else pixels[..., None]


def reduced(size: Size, limit: int | None) -> Size:
  """Returns the size of an image after its reduction to `limit` a side.

  >>> reduced((400, 300), 200), reduced((40, 30), 200)
  ((200, 150), (40, 30))
  """
  longest = max(size)
  if limit is None or longest <= limit:
    return size
  height, width = (max(1, round(x * limit / longest)) for x in size)
  return height, width


def in_threads(
  function: Callable[[Any], T], values: Sequence, *, most: int = 64
) -> Iterator[T]:
  """Maps a function over values, `most` results ahead, in their order."""
  if len(values) < 2 or _THREADS == 1:
    yield from map(function, values)
    return
  with futures.ThreadPoolExecutor(_THREADS, 'pictures') as pool:
    for start in range(0, len(values), most):
      yield from pool.map(function, values[start : start + most])


def _opened(file: File) -> PIL.Image.Image:
  if isinstance(file, PIL.Image.Image):
    return file
  return PIL.Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)


def _upright_size(picture: PIL.Image.Image) -> Size:
  width, height = picture.size
  if picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
    return width, height
  return height, width


def _eight_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
  """Returns an opaque image of 8 bits per channel."""
  if picture.mode.startswith('I'):
    # Pillow's own conversion would clip 16 bits at 255.
    pixels = np.asarray(picture).astype(np.float64) / 257
    return PIL.Image.fromarray(np.uint8(np.clip(np.round(pixels), 0, 255)))
  if picture.mode == 'F':
    raise ValueError('its pixels are floats')
  if picture.has_transparency_data:
    picture = picture.convert('RGBA')
    white = PIL.Image.new('RGBA', picture.size, 'white')
    return PIL.Image.alpha_composite(white, picture)
  return picture
