"""Resizing inside a model, against Pillow; one canvas, many sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from kdjax import models

_CANVAS = (90, 100)
_SIZES = [(90, 100), (37, 61), (80, 33), (31, 32), (20, 20), (7, 90)]


def _images():
  """Smooth images with noise, and their canvases."""
  random, images = np.random.default_rng(0), []
  canvas = np.zeros((len(_SIZES), *_CANVAS, 3), np.uint8)
  for place, (height, width) in enumerate(_SIZES):
    waves = np.sin(np.arange(height)[:, None] / 5 + np.arange(width) / 7)
    image = 127 + 90 * waves[..., None] * random.uniform(0.5, 1, 3)
    image = np.clip(image + random.normal(0, 20, image.shape), 0, 255)
    images.append(image.astype(np.uint8))
    canvas[place, :height, :width] = images[-1]
    # What is beyond the real part must not matter.
    canvas[place, height:] = 255
  batch = {'image': jnp.asarray(canvas), 'size': jnp.int32(_SIZES)}
  return images, batch


def _seeing():
  """A model whose output is what it sees."""

  def forward(params, batch):
    del params
    return {'seen': batch['image'], 'names': jnp.zeros(len(batch))}

  return models.Model(
    lambda key, batch: models.ModelVariables({}, {}),
    lambda variables, batch, **_: (forward(variables, batch), {}),
    {'model': 'seeing'},
  )


def _seen(model, batch):
  return jax.jit(lambda batch: model.apply(None, batch)[0]['seen'])(batch)


def _as_torchvision(image, size, resize):
  """`Resize(resize)` and `CenterCrop(size)` by Pillow."""
  height, width = image.shape[:2]
  if height <= width:
    after = resize, int(resize * width / height)
  else:
    after = int(resize * height / width), resize
  big = PIL.Image.fromarray(image).resize(
    after[::-1], PIL.Image.Resampling.BILINEAR
  )
  top, left = (round((x - size) / 2.0) for x in after)
  return np.asarray(big)[top : top + size, left : left + size]


@pytest.mark.parametrize(('size', 'resize'), [(28, None), (32, 32), (16, 18)])
def test_it_is_what_torchvision_does(size, resize):
  images, batch = _images()
  model = models.resized(_seeing(), size, resize=resize)
  shown = np.asarray(_seen(model, batch))
  assert shown.shape == (len(images), size, size, 3)
  assert shown.dtype == np.float32
  for image, found in zip(images, shown, strict=True):
    expected = _as_torchvision(image, size, resize or round(size / 0.875))
    # Pillow rounds to integers after each of its two passes.
    difference = np.abs(found - expected)
    assert difference.max() <= 1.05
    assert difference.mean() < 0.4


def test_images_of_one_size_need_no_size():
  images, _ = _images()
  batch = {'image': jnp.asarray(images[1])[None]}
  found = _seen(models.resized(_seeing(), 24), batch)[0]
  expected = _as_torchvision(images[1], 24, 27)
  assert np.abs(np.asarray(found) - expected).max() <= 1.05


def test_images_of_its_size_pass_unchanged():
  image = jnp.arange(2 * 9 * 9, dtype=jnp.uint8).reshape(2, 9, 9, 1)
  seen = _seen(models.resized(_seeing(), 9), {'image': image})
  assert seen.dtype == jnp.uint8
  np.testing.assert_array_equal(seen, image)
  # On a canvas of that size only the real part is an image.
  size = jnp.full((2, 2), 5, jnp.int32)
  batch = {'image': image.at[:, :5, :5].set(7), 'size': size}
  seen = _seen(models.resized(_seeing(), 9), batch)
  np.testing.assert_allclose(seen, np.full((2, 9, 9, 1), 7.0), rtol=1e-6)


def test_it_composes_with_statistics_and_says_so():
  model = models.resized(models.normalised(_seeing(), [7.0], [2.0]), 4)
  assert model.note['image_size'] == 4
  assert model.note['resize'] == 5
  assert model.note['mean'] == [7.0]
  image = jnp.full((1, 6, 8, 1), 9, jnp.uint8)
  np.testing.assert_allclose(
    _seen(model, {'image': image}), np.ones((1, 4, 4, 1)), rtol=1e-6
  )


def test_the_batch_at_its_own_size():
  model = models.resized(_seeing(), 4)
  batch = {
    'image': jax.ShapeDtypeStruct((3, 9, 8, 1), jnp.uint8),
    'size': jax.ShapeDtypeStruct((3, 2), jnp.int32),
    'label': jax.ShapeDtypeStruct((3,), jnp.int32),
  }
  assert models.at_own_size(model, batch) == {
    'image': jax.ShapeDtypeStruct((3, 4, 4, 1), jnp.uint8),
    'label': batch['label'],
  }
  assert models.at_own_size(_seeing(), batch) == batch


def test_what_is_refused():
  for size, resize in ((0, None), (8, 7)):
    with pytest.raises(ValueError, match=r'size.* must be'):
      models.resized(_seeing(), size, resize=resize)
  batch = {'image': jnp.zeros((2, 6, 6, 1)), 'size': jnp.zeros((2,), jnp.int32)}
  with pytest.raises(ValueError, match=r'size must be \[2, 2\]'):
    models.resized(_seeing(), 4).apply(None, batch)
