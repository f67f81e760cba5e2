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
    (data.identity, _views(0, mirror=False)),
    (data.flip, _views(0, mirror=True)),
    (data.shift, _views(1, mirror=False)),
    (data.pad_crop, _views(4, mirror=False)),
    (data.pad_crop_flip, _views(4, mirror=True)),
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
  'augment', [data.flip, data.shift, data.pad_crop, data.pad_crop_flip]
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
    with pytest.raises(ValueError, match='images must be'):
      augment(_keys(8), images[0])


def test_nothing_to_move_by_changes_nothing():
  images = jnp.asarray(_image())[None]
  np.testing.assert_array_equal(
    data.pad_crop(_keys(1), images, padding=0), images
  )
  np.testing.assert_array_equal(data.shift(_keys(1), images, pixels=0), images)


def test_negative_distances_are_refused():
  images = jnp.asarray(_image())[None]
  with pytest.raises(ValueError, match='padding must be 0 or more, got -1'):
    data.pad_crop(_keys(1), images, padding=-1)
  with pytest.raises(ValueError, match='pixels must be 0 or more, got -2'):
    data.shift(_keys(1), images, pixels=-2)


def test_keys_differ_by_example_and_by_epoch():
  keys = np.concatenate(
    [jax.random.key_data(_keys(50, seed)) for seed in range(3)]
  )
  assert len(np.unique(keys, axis=0)) == 150


@pytest.mark.parametrize('compiled', [False, True])
def test_normalise_is_arithmetic(compiled):
  images = np.random.RandomState(3).randint(0, 256, (2, 4, 5, 3), np.uint8)
  mean, std = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)

  def normalise(images):
    return data.normalise(images, mean, std)

  normalise = jax.jit(normalise) if compiled else normalise
  out = normalise(jnp.asarray(images))
  expected = np.empty(images.shape)
  for place in np.ndindex(images.shape):
    channel = place[-1]
    expected[place] = (int(images[place]) - mean[channel]) / std[channel]
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_normalise_casts_last():
  images = jnp.full((1, 1, 1, 1), 127, jnp.uint8)
  out = data.normalise(images, (126.5,), (0.25,), jnp.bfloat16)
  assert out.dtype == jnp.bfloat16
  # In bfloat16 throughout, 126.5 - 127 is exact but 126.7 - 127 is not.
  np.testing.assert_array_equal(out.astype(jnp.float32), [[[[2.0]]]])


def test_normalise_wants_a_number_per_channel():
  images = jnp.zeros((1, 2, 2, 3), jnp.uint8)
  with pytest.raises(ValueError, match='mean must be 3 numbers'):
    data.normalise(images, (0.5,), (1.0, 1.0, 1.0))
  with pytest.raises(ValueError, match='std must be 3 numbers'):
    data.normalise(images, (0.5, 0.5, 0.5), (1.0,))
