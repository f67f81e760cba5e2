"""Augmentations with countably many outcomes: a number, and what it shows.

That a view has a number lets a teacher's outputs for it be kept and found
again.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Views(NamedTuple):
  """An augmentation in two halves.

  Attributes:
    total: How many views an image has; all are equally likely.
    draw: Keys, one per example `[batch]`, to views, int32 `[batch]` within
      `0..total - 1`.
    render: `(views, images [batch, height, width, channels])` to images of the
      same shape and dtype.
  """

  total: int
  draw: Callable[[jax.Array], jax.Array]
  render: Callable[[jax.Array, jax.Array], jax.Array]

  def augment(self, keys: jax.Array, images: jax.Array) -> jax.Array:
    """Draws and renders a view of every image; one key per image."""
    check(keys, images)
    return self.render(self.draw(keys), images)


def identity_view() -> Views:
  """The image as it is."""
  return Views(
    1, lambda keys: jnp.zeros(keys.shape, jnp.int32), lambda _, images: images
  )


def flip_views() -> Views:
  """The image (0) and its mirror image (1)."""

  def draw(keys):
    return jax.vmap(jax.random.bernoulli)(keys).astype(jnp.int32)

  def render(views, images):
    mirrored = (views == 1)[:, None, None, None]
    return jnp.where(mirrored, images[:, :, ::-1], images)

  return Views(2, draw, render)


def crop_views(padding: int) -> Views:
  """Windows of the original size in the image padded with zeros.

  Args:
    padding: Pixels added on every side, 0 or more: `(2 * padding + 1)**2`
      windows, row by row.

  Raises:
    ValueError: if `padding` is negative.
  """
  if padding < 0:
    raise ValueError(f'padding must be 0 or more, got {padding}.')
  side, border = 2 * padding + 1, (padding, padding)

  def draw(keys):
    corners = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, side))(keys)
    return corners[:, 0] * side + corners[:, 1]

  def render(views, images):
    padded = jnp.pad(images, ((0, 0), border, border, (0, 0)))

    def window(view, image):
      corner = (view // side, view % side, jnp.zeros_like(view))
      return jax.lax.dynamic_slice(image, corner, images.shape[1:])

    return jax.vmap(window)(views, padded)

  return Views(side**2, draw, render)


def crop_flip_views(padding: int) -> Views:
  """`crop_views`, and after them the mirror image of each.

  Args:
    padding: Pixels added on every side, 0 or more.

  Raises:
    ValueError: if `padding` is negative.
  """
  crop, flip = crop_views(padding), flip_views()

  def draw(keys):
    crop_keys, flip_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    return crop.draw(crop_keys) + crop.total * flip.draw(flip_keys)

  def render(views, images):
    windows = crop.render(views % crop.total, images)
    return flip.render(views // crop.total, windows)

  return Views(crop.total * flip.total, draw, render)


def check(keys: jax.Array, images: jax.Array) -> None:
  """Raises ValueError unless there is one key for every image."""
  if images.ndim != 4:
    raise ValueError(
      'images must be [batch, height, width, channels], got shape'
      f' {images.shape}.'
    )
  if keys.shape != images.shape[:1]:
    raise ValueError(
      f'keys must be one per example, [{images.shape[0]}], got shape'
      f' {keys.shape}.'
    )
