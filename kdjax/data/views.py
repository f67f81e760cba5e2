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
    render: `(views, batch) -> batch`, with every example in its view. Dtypes
      stay the same; shapes too, except of `random_resized_crop_views`.
    mix: `(keys, batch) -> batch`, which mixes neighbours of the batch after
      `render`, see `mixed`; None for views of single examples.
  """

  name: str
  total: int
  draw: Callable[[jax.Array], jax.Array]
  render: Callable[[jax.Array, Mapping[str, jax.Array]], dict[str, jax.Array]]
  mix: Callable[[jax.Array, Mapping], dict[str, jax.Array]] | None = None

  def augment(
    self, keys: jax.Array, batch: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """Draws and renders a view of every example, and mixes them if asked.

    Args:
      keys: Keys `[batch]`.
      batch: The examples.

    Raises:
      ValueError: if the numbers of keys and examples differ.
    """
    for values in jax.tree.leaves(dict(batch)):
      if keys.shape != values.shape[:1]:
        raise ValueError(
          f'keys must be one per example, [{values.shape[0]}], got shape '
          f'{keys.shape}.'
        )
    shown = self.render(self.draw(keys), batch)
    return shown if self.mix is None else self.mix(keys, shown)


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
  return chain_views(crop_views(padding), flip_views())


def chain_views(first: Views, second: Views) -> Views:
  """Returns the views of `first`, each in all views of `second`.

  The view `i + first.total * j` is the view `j` of `second` of the view `i` of
  `first`.

  >>> chain_views(crop_views(4), flip_views())[:2]
  ('crop4_flip', 162)

  Args:
    first: Is rendered first.
    second: Is rendered on its result.

  Raises:
    ValueError: if an augmentation mixes examples, or there are more views than
      int32 numbers.
  """
  for views in (first, second):
    if views.mix is not None:
      raise ValueError(f'mix after chaining: {views.name} mixes examples.')
  total = first.total * second.total
  if total >= 2**31:
    raise ValueError(f'views must be fewer than {2**31}, got {total}.')

  def draw(keys):
    first_keys, second_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    return first.draw(first_keys) + first.total * second.draw(second_keys)

  def render(views, batch):
    batch = first.render(views % first.total, batch)
    return second.render(views // first.total, batch)

  return Views(f'{first.name}_{second.name}', total, draw, render)


def _image(batch: Mapping[str, jax.Array]) -> jax.Array:
  images = batch['image']
  if images.ndim != 4:
    raise ValueError(
      'image must be [batch, height, width, channels], got shape'
      f' {images.shape}.'
    )
  return images
