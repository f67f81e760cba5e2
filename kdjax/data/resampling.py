"""Resizing inside XLA: windows of images, antialiased, one for each example."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Span(NamedTuple):
  """A window of images along one axis; all fields are `[batch]`.

  Attributes:
    start: First pixel that may be read, an integer.
    stop: One past the last pixel that may be read, an integer.
    origin: Where the first pixel of the result begins, in pixels.
    ratio: Pixels of the image per pixel of the result.
  """

  start: jax.Array
  stop: jax.Array
  origin: jax.Array
  ratio: jax.Array


def real_size(image: chex.Array, size: chex.Array | None) -> jax.Array:
  """Returns height and width of the real part of every image.

  Args:
    image: `[batch, height, width, channels]`.
    size: The real part in the top left corner, `[batch, 2]`; None if the images
      are real to their borders.

  Returns:
    int32 `[batch, 2]`.

  Raises:
    ValueError: if a shape is wrong.
  """
  if image.ndim != 4:
    raise ValueError(
      'image must be [batch, height, width, channels], got shape'
      f' {image.shape}.'
    )
  if size is None:
    return jnp.tile(jnp.int32(image.shape[1:3])[None], (image.shape[0], 1))
  if size.shape != (image.shape[0], 2):
    raise ValueError(
      f'size must be [{image.shape[0]}, 2], got shape {size.shape}.'
    )
  return jnp.asarray(size, jnp.int32)


def resample(
  image: chex.Array, rows: Span, columns: Span, size: int
) -> jax.Array:
  """Samples a window of every image, bilinear with antialiasing.

  A pixel of the result is the mean of the pixels around its centre, weighted by
  a triangle whose half width is the larger of 1 and `ratio`. This is Pillow's
  and torchvision's `BILINEAR` with antialiasing, without their rounding to 8
  bits. `jax.image.scale_and_translate` has the same triangle, but its weights
  add up to one over the whole canvas, so the zeros beside the real part would
  darken its borders.

  Args:
    image: `[batch, height, width, channels]`, of any dtype.
    rows: The window along the height.
    columns: The window along the width.
    size: Side of the result.

  Returns:
    float32 `[batch, size, size, channels]`.
  """
  down = _weights(rows, image.shape[1], size)
  across = _weights(columns, image.shape[2], size)
  # TF32 would round the pixels of 8 bits to other integers.
  precision = jax.lax.Precision.HIGHEST
  image = image.astype(jnp.float32)
  image = jnp.einsum('boh,bhwc->bowc', down, image, precision=precision)
  return jnp.einsum('bow,bhwc->bhoc', across, image, precision=precision)


def _weights(span: Span, length: int, size: int) -> jax.Array:
  """Returns the weights of pixels for the result, `[batch, size, length]`."""
  span = Span(*(x[:, None, None] for x in span))
  places = jnp.arange(size, dtype=jnp.float32)[None, :, None] + 0.5
  pixels = jnp.arange(length, dtype=jnp.int32)[None, None, :]
  centres = span.origin + places * span.ratio
  distance = jnp.abs(pixels.astype(jnp.float32) + 0.5 - centres)
  weights = jnp.maximum(0, 1 - distance / jnp.maximum(span.ratio, 1))
  readable = (pixels >= span.start) & (pixels < span.stop)
  weights = jnp.where(readable, weights, 0)
  total = jnp.sum(weights, axis=-1, keepdims=True)
  return weights / jnp.where(total > 0, total, 1)
