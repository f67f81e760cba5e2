"""Numbered views: which number shows what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data

_IMAGE = np.random.default_rng(0).integers(1, 255, (5, 6, 2)).astype(np.uint8)


def _window(padding, row, column):
  border = (padding, padding)
  padded = np.pad(_IMAGE, (border, border, (0, 0)))
  return padded[row : row + 5, column : column + 6]


def _all(views):
  """Every view of the image, in order."""
  numbers = jnp.arange(views.total, dtype=jnp.int32)
  images = jnp.broadcast_to(_IMAGE[None], (views.total, *_IMAGE.shape))
  return np.asarray(jax.jit(views.render)(numbers, {'image': images})['image'])


def test_crops_are_numbered_row_by_row_and_then_mirrored():
  views = data.crop_flip_views(padding=4)
  assert views.total == 162
  shown = _all(views)
  for number in range(81):
    window = _window(4, number // 9, number % 9)
    np.testing.assert_array_equal(shown[number], window)
    np.testing.assert_array_equal(shown[81 + number], window[:, ::-1])
  np.testing.assert_array_equal(_all(data.crop_views(padding=4)), shown[:81])


def test_the_simple_ones():
  np.testing.assert_array_equal(_all(data.identity_view()), _IMAGE[None])
  np.testing.assert_array_equal(
    _all(data.flip_views()), [_IMAGE, _IMAGE[:, ::-1]]
  )
  np.testing.assert_array_equal(_all(data.crop_views(padding=0)), _IMAGE[None])


@pytest.mark.parametrize(
  'views',
  [
    data.identity_view(),
    data.flip_views(),
    data.crop_views(padding=1),
    data.crop_views(padding=4),
    data.crop_flip_views(padding=4),
  ],
)
def test_what_is_drawn_is_what_augmentation_shows(views):
  keys = jax.random.split(jax.random.key(3), 400)
  images = jnp.broadcast_to(_IMAGE[None], (400, *_IMAGE.shape))
  drawn = views.draw(keys)
  assert (drawn.shape, drawn.dtype) == ((400,), jnp.int32)
  assert 0 <= drawn.min() <= drawn.max() < views.total
  assert len(np.unique(drawn)) > 0.8 * views.total
  label = jnp.arange(400)
  shown = views.augment(keys, {'image': images, 'label': label})
  np.testing.assert_array_equal(shown['image'], _all(views)[np.asarray(drawn)])
  np.testing.assert_array_equal(shown['label'], label)


def test_every_augmentation_has_a_name_of_its_own():
  """A teacher's cache tells them apart by it."""
  made = [
    data.identity_view(),
    data.flip_views(),
    data.crop_views(padding=1),
    data.crop_views(padding=4),
    data.crop_flip_views(padding=1),
    data.crop_flip_views(padding=4),
  ]
  names = [views.name for views in made]
  assert names == [
    'none',
    'flip',
    'crop1',
    'crop4',
    'crop1_flip',
    'crop4_flip',
  ]
  assert data.Views._fields == ('name', 'total', 'draw', 'render', 'mix')


def test_a_negative_padding_is_refused():
  for make in (data.crop_views, data.crop_flip_views):
    with pytest.raises(ValueError, match='padding must be 0 or more, got -1'):
      make(padding=-1)


def test_crops_and_flips_are_drawn_as_ever():
  """The keys are split once: another draw would change every training."""
  keys = jax.random.split(jax.random.key(5), 300)
  crop_keys, flip_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
  corners = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 9))(crop_keys)
  flips = jax.vmap(jax.random.bernoulli)(flip_keys).astype(jnp.int32)
  expected = 9 * corners[:, 0] + corners[:, 1] + 81 * flips
  np.testing.assert_array_equal(
    data.crop_flip_views(padding=4).draw(keys), expected
  )
