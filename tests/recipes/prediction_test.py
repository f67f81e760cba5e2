"""Predictions of single images, against answers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from kdjax import data, models, recipes
from kdjax.models import ModelVariables, Network


def _brightness(size, **note):
  """A network of `size x size` images whose logits are -mean and mean."""

  def init(key, batch):
    del key, batch
    return ModelVariables({}, {})

  def apply(variables, batch, *, train=False, key=None):
    del variables, train, key
    image = batch['image']
    assert image.shape[1:3] == (size, size)
    mean = image.astype(jnp.float32).mean((1, 2, 3))
    return {'logits': jnp.stack([-mean, mean], axis=1)}, {}

  model = models.Model(init, apply, note)
  # Grey 128 has the logits 0 and 0; black 1 and -1; white about -1 and 1.
  model = models.normalised(model, (128.0,) * 3, (128.0,) * 3)
  return Network(model, ModelVariables({}, {}))


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _saved(folder, name, level, size, mode='RGB'):
  colour = level if mode == 'L' else (level,) * 3
  path = folder / name
  PIL.Image.new(mode, size, colour).save(path)
  return str(path)


def test_files_of_any_size_and_kind(tmp_path):
  network = _brightness(8)
  files = [
    _saved(tmp_path, 'grey ü.png', 128, (8, 8)),
    _saved(tmp_path, 'black.png', 0, (50, 20)),
    _saved(tmp_path, 'white.png', 255, (5, 300), mode='L'),
  ]
  found = recipes.predict(network, files, shape=(8, 8, 3))
  means = np.array([0, -1, 127 / 128])
  np.testing.assert_allclose(found[:, 1], _sigmoid(2 * means), atol=1e-6)
  np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


def test_a_network_of_this_size_sees_the_very_pixels(tmp_path):
  pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
  path = tmp_path / 'noise.png'
  PIL.Image.fromarray(pixels).save(path)
  mean = ((pixels - 128.0) / 128).mean()
  for image in (str(path), path, pixels):
    found = recipes.predict(_brightness(8), [image], shape=(8, 8, 3))
    np.testing.assert_allclose(found[0, 1], _sigmoid(2 * mean), rtol=1e-5)


def test_only_the_centre_of_a_long_image_counts(tmp_path):
  pixels = np.zeros((8, 24, 3), np.uint8)
  pixels[:, 8:16] = 255
  found = recipes.predict(_brightness(8), [pixels], shape=(8, 8, 3))
  np.testing.assert_allclose(found[0, 1], _sigmoid(2 * 127 / 128), rtol=1e-5)


def test_the_networks_own_resizing_is_kept():
  # 8 pixels become 24, of which the central 8 remain: the third and a bit more
  # around the centre, which the black border does not reach.
  pixels = np.full((8, 8, 3), 255, np.uint8)
  pixels[[0, -1]] = pixels[:, [0, -1]] = 0
  network = _brightness(8)
  own = network._replace(model=models.resized(network.model, 8, resize=24))
  found = recipes.predict(own, [pixels])
  np.testing.assert_allclose(found[0, 1], _sigmoid(2 * 127 / 128), rtol=1e-5)
  whole = recipes.predict(network, [pixels], shape=(8, 8, 3))
  assert whole[0, 1] < found[0, 1] - 0.1


def test_more_images_than_fit_a_batch():
  images = [np.full((4, 4, 3), i, np.uint8) for i in range(100)]
  found = recipes.predict(_brightness(4), images, shape=(4, 4, 3))
  means = (np.arange(100) - 128) / 128
  np.testing.assert_allclose(found[:, 1], _sigmoid(2 * means), rtol=1e-5)


@pytest.mark.parametrize(
  ('contents', 'reason'),
  [(b'no image', 'it is no image, or is damaged'), (None, 'No such file')],
)
def test_names_a_file_that_cannot_be_read(tmp_path, contents, reason):
  path = tmp_path / 'a b.jpg'
  if contents:
    path.write_bytes(contents)
  with pytest.raises(data.DataError, match=f"a b.jpg': {reason}"):
    recipes.predict(_brightness(8), [str(path)], shape=(8, 8, 3))


@pytest.mark.parametrize(
  ('images', 'shape', 'message'),
  [
    ([], (8, 8, 3), 'images must hold at least one image'),
    ([np.zeros((8, 8, 3), np.uint8)], None, 'shape must be given'),
    ([np.zeros((8, 8, 3), np.uint8)], (8, 9, 3), 'shape must be square'),
    ([np.zeros((8, 8, 3))], (8, 8, 3), 'must be uint8'),
  ],
)
def test_refuses_what_it_cannot_see(images, shape, message):
  with pytest.raises(ValueError, match=message):
    recipes.predict(_brightness(8), images, shape=shape)
