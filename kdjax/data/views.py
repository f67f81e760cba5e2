"""Augmentations with countably many outcomes: a number, and what it shows.

That a view has a number lets a teacher's outputs for it be kept and found
again.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Views(NamedTuple):
  """An augmentation of examples, in two halves; both work inside XLA.

  One key per example: the augmented batch is the same however it is divided
  among devices.

  Attributes:
    name: What tells it from others, for notes of what it has shown.
    total: How many views an example has; all are equally likely.
    draw: Keys, one per example `[batch]`, to views, int32 `[batch]` within
      `0..total - 1`.
    render: `(views, batch) -> batch`, every example in its view, in the same
      shapes and dtypes.
  """

  name: str
  total: int
  draw: Callable[[jax.Array], jax.Array]
  render: Callable[[jax.Array, Mapping[str, jax.Array]], dict[str, jax.Array]]

  def augment(
    self, keys: jax.Array, batch: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """Draws and renders a view of every example; one key per example.

    Raises:
      ValueError: if there are not as many keys as examples.
    """
    for values in jax.tree.leaves(dict(batch)):
      if keys.shape != values.shape[:1]:
        raise ValueError(
          f'keys must be one per example, [{values.shape[0]}], got shape '
          f'{keys.shape}.'
        )
    return self.render(self.draw(keys), batch)


def identity_view() -> Views:
  """The example as it is."""
  return Views(
    'none',
    1,
    lambda keys: jnp.zeros(keys.shape, jnp.int32),
    lambda _, batch: dict(batch),
  )


def flip_views() -> Views:
  """The image (0) and its mirror image (1)."""

  def draw(keys):
    return jax.vmap(jax.random.bernoulli)(keys).astype(jnp.int32)

  def render(views, batch):
    image = _image(batch)
    mirrored = (views == 1)[:, None, None, None]
    return {**batch, 'image': jnp.where(mirrored, image[:, :, ::-1], image)}

  return Views('flip', 2, draw, render)


def crop_views(padding: int) -> Views:
  """Windows of the original size in the image padded with zeros.

  With a padding of 4 the usual crops of CIFAR; with 1 the shifts of small
  images whose background is zero.

  Args:
    padding: Pixels added on every side, 0 or more: `(2 * padding + 1)**2`
      windows, row by row.

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
