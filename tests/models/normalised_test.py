"""A model that normalises its images, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models

_SEEN = models.from_function(lambda params, image: {'seen': image}, {})


@pytest.mark.parametrize('compiled', [False, True])
def test_images_are_normalised_and_nothing_else_changes(compiled):
  images = np.random.RandomState(3).randint(0, 256, (2, 4, 5, 3), np.uint8)
  mean, std = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
  model = models.normalised(
    models.from_function(
      lambda params, batch: {'seen': batch['image'], 'label': batch['label']},
      {},
      inputs=lambda batch: batch,
    ),
    mean,
    std,
  )
  batch = {'image': jnp.asarray(images), 'label': jnp.arange(2)}
  apply = jax.jit(model.apply) if compiled else model.apply
  outputs, _ = apply(model.init(jax.random.key(0), batch), batch)
  expected = np.empty(images.shape)
  for place in np.ndindex(images.shape):
    channel = place[-1]
    expected[place] = (int(images[place]) - mean[channel]) / std[channel]
  assert outputs['seen'].dtype == jnp.float32
  np.testing.assert_allclose(outputs['seen'], expected, atol=1e-6)
  np.testing.assert_array_equal(outputs['label'], [0, 1])


def test_teacher_and_student_want_different_statistics():
  batch = {'image': jnp.full((1, 1, 1, 1), 100, jnp.uint8)}
  found = []
  for mean, std in (((50.0,), (25.0,)), ((0.0,), (200.0,))):
    model = models.normalised(_SEEN, mean, std)
    outputs, _ = model.apply(models.ModelVariables({}, {}), batch)
    found.append(outputs['seen'].item())
  assert found == [2.0, 0.5]


@pytest.mark.parametrize(
  ('mean', 'std', 'message'),
  [
    ((0.5, 0.5), (1.0,), 'std must be 2 numbers like mean'),
    ((0.5,), (0.0,), r'std must be positive, got \(0.0,\)'),
  ],
)
def test_statistics_are_checked_when_built(mean, std, message):
  with pytest.raises(ValueError, match=message):
    models.normalised(_SEEN, mean, std)


def test_there_is_a_number_per_channel():
  batch = {'image': jnp.zeros((1, 2, 2, 3), jnp.uint8)}
  model = models.normalised(_SEEN, (0.5,), (1.0,))
  with pytest.raises(ValueError, match='mean must be 3 numbers'):
    model.apply(models.ModelVariables({}, {}), batch)
