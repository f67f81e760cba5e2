"""Augmentations against every view that NumPy says is possible."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data

_SIZE = 5


def _image():
  # Distinct pixels, none zero: every window is told from every other.
  return np.arange(1, _SIZE * _SIZE * 2 + 1, dtype=np.uint8).reshape(
    _SIZE, _SIZE, 2
  )


def _keys(count, seed=0):
  return data.example_keys(jax.random.key(seed), jnp.arange(count))


def _moved(image, down, right):
  """Moves pixel by pixel; what is uncovered is zero."""
  moved = np.zeros_like(image)
  for row in range(_SIZE):
    for column in range(_SIZE):
      if 0 <= row - down < _SIZE and 0 <= column - right < _SIZE:
        moved[row, column] = image[row - down, column - right]
  return moved


def _of(views):
  """An augmentation of images alone."""
  return lambda keys, images: views.augment(keys, {'image': images})['image']


def _views(reach, mirror):
  image = _image()
  views = {}
  for down in range(-reach, reach + 1):
    for right in range(-reach, reach + 1):
      view = _moved(image, down, right)
      views[view.tobytes()] = (down, right, False)
      if mirror:
        views[np.fliplr(view).tobytes()] = (down, right, True)
  return views


@pytest.mark.parametrize('compiled', [False, True])
@pytest.mark.parametrize(
  ('augment', 'views'),
  [
    (_of(data.identity_view()), _views(0, mirror=False)),
    (_of(data.flip_views()), _views(0, mirror=True)),
    (_of(data.crop_views(padding=1)), _views(1, mirror=False)),
    (_of(data.crop_views(padding=4)), _views(4, mirror=False)),
    (_of(data.crop_flip_views(padding=4)), _views(4, mirror=True)),
  ],
)
def test_every_possible_view_occurs_equally_often(augment, views, compiled):
  count = 40 * len(views)
  images = jnp.broadcast_to(jnp.asarray(_image()), (count, _SIZE, _SIZE, 2))
  augment = jax.jit(augment) if compiled else augment
  out = np.asarray(augment(_keys(count), images))
  assert out.dtype == np.uint8
  seen = collections.Counter(views[view.tobytes()] for view in out)
  assert len(seen) == len(views)
  # Six standard deviations of a count whose mean is 40.
  assert max(abs(times - 40) for times in seen.values()) <= 6 * np.sqrt(40)


def test_the_number_of_views_is_as_published():
  assert len(_views(4, mirror=True)) == 81 * 2
  assert len(_views(1, mirror=False)) == 9


@pytest.mark.parametrize(
  'augment',
  [
    _of(data.flip_views()),
    _of(data.crop_views(padding=4)),
    _of(data.crop_flip_views(padding=4)),
  ],
)
class TestEvery:
  def _images(self):
    shape = (8, 6, 7, 3)
    return np.random.RandomState(2).randint(0, 256, shape, dtype=np.uint8)

  def test_sharding_changes_nothing(self, augment):
    images, keys = jnp.asarray(self._images()), _keys(8)
    whole = augment(keys, images)
    halves = [augment(keys[i : i + 4], images[i : i + 4]) for i in (0, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(halves))

  def test_float_and_uint8_are_treated_alike(self, augment):
    images = jnp.asarray(self._images())
    as_float = augment(_keys(8), images.astype(jnp.float32))
    assert as_float.dtype == jnp.float32
    np.testing.assert_array_equal(
      as_float, np.asarray(augment(_keys(8), images)).astype(np.float32)
    )

  def test_other_keys_give_other_views(self, augment):
    images = jnp.asarray(self._images())
    assert not np.array_equal(
      augment(_keys(8), images), augment(_keys(8, seed=1), images)
    )

  def test_wrong_shapes_are_refused(self, augment):
    images = jnp.asarray(self._images())
    with pytest.raises(
      ValueError, match=r'keys must be one per example, \[8\]'
    ):
      augment(_keys(4), images)
    with pytest.raises(ValueError, match='image must be'):
      augment(_keys(8), images[:, 0])


def test_keys_differ_by_example_and_by_epoch():
  keys = np.concatenate(
    [jax.random.key_data(_keys(50, seed)) for seed in range(3)]
  )
  assert len(np.unique(keys, axis=0)) == 150
