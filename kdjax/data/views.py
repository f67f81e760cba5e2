"""Augmentations with finitely many outcomes, the numbered views of an example.

The number of a view is the key of a teacher's cached outputs.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Views(NamedTuple):
  """An augmentation of examples as two functions; both work inside XLA.

  Each example has its own key, so the augmented batch does not depend on its
  division among devices.

  Attributes:
    name: Name that identifies the augmentation in the notes of caches.
    total: Number of views of an example; all views are equally likely.
    draw: Maps keys `[batch]`, one per example, to views, int32 `[batch]` within
      `0..total - 1`.
    render: `(views, batch) -> batch`, with every example in its view; shapes
      and dtypes stay the same.
  """

  name: str
  total: int
  draw: Callable[[jax.Array], jax.Array]
  render: Callable[[jax.Array, Mapping[str, jax.Array]], dict[str, jax.Array]]

  def augment(
    self, keys: jax.Array, batch: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """Draws and renders a view of every example.

    Raises:
      ValueError: if the numbers of keys and examples differ.
    """
    for values in jax.tree.leaves(dict(batch)):
      if keys.shape != values.shape[:1]:
        raise ValueError(
          f'keys must be one per example, [{values.shape[0]}], got shape '
          f'{keys.shape}.'
        )
    return self.render(self.draw(keys), batch)


def identity_view() -> Views:
  """Returns views without augmentation: the unchanged example."""
  return Views(
    'none',
    1,
    lambda keys: jnp.zeros(keys.shape, jnp.int32),
    lambda _, batch: dict(batch),
  )


def flip_views() -> Views:
  """Returns two views: the image (0) and its mirror image (1)."""

  def draw(keys):
    return jax.vmap(jax.random.bernoulli)(keys).astype(jnp.int32)

  def render(views, batch):
    image = _image(batch)
    mirrored = (views == 1)[:, None, None, None]
    return {**batch, 'image': jnp.where(mirrored, image[:, :, ::-1], image)}

  return Views('flip', 2, draw, render)


def crop_views(padding: int) -> Views:
  """Returns the windows of the original size in the image padded with zeros.

  A padding of 4 gives the usual crops of CIFAR; a padding of 1 shifts small
  images whose background is zero.

  Args:
    padding: Pixels added on every side, 0 or more. This gives
      `(2 * padding + 1)**2` windows, numbered row by row.

  Raises:
    ValueError: if `padding` is negative.

  References:
    He et al., `Deep Residual Learning <https://arxiv.org/abs/1512.03385>`_,
    2015, section 4.2.
  """
  if padding < 0:
    raise ValueError(f'padding must be 0 or more, got {padding}.')
  side, border = 2 * padding + 1, (padding, padding)

  def draw(keys):
    corners = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, side))(keys)
    return corners[:, 0] * side + corners[:, 1]

  def render(views, batch):
    images = _image(batch)
    padded = jnp.pad(images, ((0, 0), border, border, (0, 0)))

    def window(view, image):
      corner = (view // side, view % side, jnp.zeros_like(view))
      return jax.lax.dynamic_slice(image, corner, images.shape[1:])

    return {**batch, 'image': jax.vmap(window)(views, padded)}

  return Views(f'crop{padding}', side**2, draw, render)


def crop_flip_views(padding: int) -> Views:
  """Returns the windows of `crop_views`, then their mirror images.

  Args:
    padding: Pixels added on every side, 0 or more.

  Raises:
    ValueError: if `padding` is negative.
  """
  crop, flip = crop_views(padding), flip_views()

  def draw(keys):
    crop_keys, flip_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    return crop.draw(crop_keys) + crop.total * flip.draw(flip_keys)

  def render(views, batch):
    windows = crop.render(views % crop.total, batch)
    return flip.render(views // crop.total, windows)

  name = f'{crop.name}_{flip.name}'
  return Views(name, crop.total * flip.total, draw, render)


def _image(batch: Mapping[str, jax.Array]) -> jax.Array:
  images = batch['image']
  if images.ndim != 4:
    raise ValueError(
      'image must be [batch, height, width, channels], got shape'
      f' {images.shape}.'
    )
  return images
