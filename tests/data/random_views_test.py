"""Random crops and colours as numbered views, against Pillow and by chance."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest

from kdjax import data
from kdjax.data import random_views

_RANDOM = np.random.default_rng(0)


def _batch(count, height=40, width=60, channels=3, *, size=None):
  shape = (count, height, width, channels)
  batch = {
    'image': jnp.asarray(_RANDOM.integers(0, 256, shape), jnp.uint8),
    'index': jnp.arange(count, dtype=jnp.int32),
  }
  if size is not None:
    batch['size'] = jnp.tile(jnp.int32(size)[None], (count, 1))
  return batch


@pytest.fixture(scope='module')
def windows():
  """Windows of many images, as numbers."""
  keys = jax.random.split(jax.random.key(0), 4000)
  real = jnp.int32([50, 80])
  draw = jax.vmap(random_views._window, (0, None, None, None))
  return jax.device_get(draw(keys, real, (0.08, 1.0), (3 / 4, 4 / 3)))


def test_windows_are_within_the_image_and_its_ranges(windows):
  corner, extent = windows
  assert np.all(corner >= 0)
  assert np.all(corner + extent <= [50, 80])
  share = extent.prod(axis=1) / 4000
  ratio = extent[:, 1] / extent[:, 0]
  # Height and width are rounded to pixels.
  assert share.min() > 0.07
  assert 0.7 < ratio.min() < 0.8
  assert 1.26 < ratio.max() < 1.42
  # A window of the whole image would have a ratio of 1.6.
  assert 0.7 < share.max() <= 50 * 50 * 4 / 3 / 4000 + 0.01
  # The corner is uniform over the free places.
  place = corner[:, 1] / np.maximum(80 - extent[:, 1], 1)
  assert np.mean(place) == pytest.approx(0.5, abs=0.03)
  # Small areas always fit: those below 0.3 are uniform.
  small = share[share < 0.3]
  assert np.mean(small) == pytest.approx(0.19, abs=0.01)


@pytest.mark.parametrize(
  ('real', 'extent'),
  [((10, 90), (10, 13)), ((90, 9), (12, 9)), ((1, 1), (1, 1))],
)
def test_the_central_window_where_no_other_fits(real, extent):
  """Ten tries with the whole area never fit into so long an image."""
  found = random_views._window(
    jax.random.key(1), jnp.int32(real), (1.0, 1.0), (3 / 4, 4 / 3)
  )
  corner, shape = jax.device_get(found)
  assert tuple(shape) == extent
  assert tuple(corner) == tuple((np.array(real) - extent) // 2)


@pytest.mark.parametrize('size', [None, (30, 41)])
def test_a_crop_is_what_pillow_makes_of_the_window(size):
  batch = _batch(12, size=size)
  views = data.random_resized_crop_views(24, views=50)
  numbers = jnp.arange(12, dtype=jnp.int32)
  shown = jax.jit(views.render)(numbers, batch)
  assert 'size' not in shown
  assert shown['image'].dtype == jnp.uint8
  keys = random_views._keys(random_views._CROP_KEY, numbers, batch)
  real, mirrored = jnp.int32(size or (40, 60)), 0
  for i in range(12):
    window_key, _ = jax.random.split(keys[i])
    corner, extent = random_views._window(
      window_key, real, (0.08, 1.0), (3 / 4, 4 / 3)
    )
    (top, left), (height, width) = corner.tolist(), extent.tolist()
    window = np.asarray(
      batch['image'][i, top : top + height, left : left + width]
    )
    expected = PIL.Image.fromarray(window).resize(
      (24, 24), PIL.Image.Resampling.BILINEAR
    )
    expected, found = np.int32(expected), np.int32(shown['image'][i])
    flipped = np.abs(found[:, ::-1] - expected).max() <= 2
    mirrored += flipped
    # Pillow rounds after each of its two passes.
    assert flipped or np.abs(found - expected).max() <= 2
  assert 2 <= mirrored <= 10


def test_a_view_is_the_same_wherever_it_is_rendered():
  batch = _batch(6, size=(33, 44))
  views = data.chain_views(
    data.random_resized_crop_views(16, views=9),
    data.colour_jitter_views(views=3),
  )
  assert views.total == 27
  numbers = jnp.int32([0, 26, 13, 13, 5, 9])
  render = jax.jit(views.render)
  whole = render(numbers, batch)['image']
  part = jax.tree.map(lambda x: x[3:5], batch)
  np.testing.assert_array_equal(render(numbers[3:5], part)['image'], whole[3:5])
  # The image of one example, in the views of another.
  other = {**batch, 'index': batch['index'][::-1]}
  assert not np.array_equal(render(numbers, other)['image'], whole)


def test_all_views_are_drawn():
  views = data.random_resized_crop_views(8, views=20)
  drawn = views.draw(jax.random.split(jax.random.key(0), 500))
  assert drawn.dtype == jnp.int32
  assert np.unique(drawn).tolist() == list(range(20))


def _by_pillow(image, order, factors):
  """The three enhancements one after another."""
  enhancers = (
    PIL.ImageEnhance.Brightness,
    PIL.ImageEnhance.Contrast,
    PIL.ImageEnhance.Color,
  )
  picture = PIL.Image.fromarray(image)
  for kind in order:
    picture = enhancers[kind](picture).enhance(factors[kind])
  return np.float64(picture)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize('factors', [(1.3, 0.7, 1.4), (0.6, 1.4, 0.6)])
def test_colours_are_those_of_pillow(order, factors):
  image = np.asarray(_batch(1)['image'][0])
  found = random_views._jittered(
    jnp.float32(image),
    jnp.int32(image.shape[:2]),
    jnp.int32(order),
    jnp.float32(factors),
  )
  # Pillow rounds down after each change, and the mean of grey to an integer.
  assert np.abs(found - _by_pillow(image, order, factors)).max() < 3.5


def test_colours_that_do_not_change():
  batch = _batch(3)
  numbers = jnp.zeros(3, jnp.int32)
  still = data.colour_jitter_views(brightness=0, contrast=0, saturation=0)
  np.testing.assert_array_equal(
    still.render(numbers, batch)['image'], batch['image']
  )
  grey = _batch(3, channels=1)
  coloured = data.colour_jitter_views(brightness=0, contrast=0, saturation=0.9)
  np.testing.assert_array_equal(
    coloured.render(numbers, grey)['image'], grey['image']
  )


def test_the_padding_of_a_canvas_does_not_change_the_colours():
  views = data.colour_jitter_views(views=4)
  batch = _batch(5, size=(30, 41))
  numbers = jnp.arange(5, dtype=jnp.int32) % 4
  cut = {'image': batch['image'][:, :30, :41], 'index': batch['index']}
  render = jax.jit(views.render)
  np.testing.assert_allclose(
    np.int32(render(numbers, batch)['image'])[:, :30, :41],
    np.int32(render(numbers, cut)['image']),
    atol=1,  # The sums of the mean add up in another order.
  )


def test_names_tell_augmentations_apart():
  crop, jitter = data.random_resized_crop_views, data.colour_jitter_views
  made = [
    crop(224),
    crop(192),
    crop(224, views=10),
    crop(224, scale=(0.5, 1.0)),
    crop(224, ratio=(1.0, 1.0)),
    crop(224, flip=False),
    jitter(),
    jitter(brightness=0.1),
    jitter(views=3),
    data.chain_views(crop(224), jitter()),
    data.mixed(crop(224), 10, mixup=0.2),
  ]
  assert len({views.name for views in made}) == len(made)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: data.random_resized_crop_views(0), 'size must be positive, got 0'),
    (
      lambda: data.random_resized_crop_views(8, scale=(0.5, 1.5)),
      'scale must be two positive numbers',
    ),
    (
      lambda: data.random_resized_crop_views(8, ratio=(2.0, 1.0)),
      'ratio must be two positive numbers',
    ),
    (lambda: data.random_resized_crop_views(8, views=0), 'views must be 1 or'),
    (lambda: data.colour_jitter_views(contrast=-1), 'contrast must be 0 or'),
    (
      lambda: data.chain_views(
        data.colour_jitter_views(views=10**6),
        data.random_resized_crop_views(8, views=10**6),
      ),
      'views must be fewer',
    ),
    (
      lambda: data.flip_views().render(
        jnp.zeros(1, jnp.int32), {'image': jnp.zeros((4, 4, 1))}
      ),
      'image must be',
    ),
    (
      lambda: data.colour_jitter_views().render(
        jnp.zeros(1, jnp.int32), {'image': jnp.zeros((1, 4, 4, 1))}
      ),
      'must have an index',
    ),
  ],
)
def test_what_is_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()
