"""Batch norm over the global batch does not see the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data, models, training, transforms

_RANDOM = np.random.default_rng(0)
_PIXELS = _RANDOM.integers(0, 255, (20, 4, 4, 1)).astype(np.uint8)
_LABELS = _RANDOM.integers(0, 3, 20).astype(np.int32)


def _trained(axis_name, count):
  """One epoch of three steps, the last with padding."""
  devices = jax.local_devices()[:count]
  model = models.from_linen(
    models.ConvNet((3, 4), (1, 1), 3, axis_name=axis_name)
  )
  loss = transforms.labels()
  optimizer = training.make_optimizer('sgd', 0.05)
  image = jax.ShapeDtypeStruct((8, 4, 4, 1), jnp.float32)
  init = jax.jit(
    lambda: training.init_state(0, model, loss, optimizer, image, {})
  )
  state = init()
  run = training.streaming_epoch(
    training.make_train_step(model, loss, optimizer, axis_name=training.AXIS),
    None,
    data.from_arrays(_PIXELS, _LABELS),
    lambda keys, images: data.normalise(images, (127.0,), (74.0,)),
    key=jax.random.key(2),
    batch_size=8,
    devices=devices,
  )
  state, _ = run(training.replicate(state, devices), 0)
  return jax.device_get(state.model)


@pytest.fixture(scope='module')
def alone():
  return _trained(None, 1)


def _largest_difference(one, other):
  differences = jax.tree.map(lambda x, y: np.max(np.abs(x - y)), one, other)
  return max(jax.tree.leaves(differences))


def test_synchronised_batch_norm_equals_one_device(alone):
  together = _trained(training.AXIS, 2)
  assert jax.tree.leaves(together.state)
  assert _largest_difference(alone, together) < 2e-5


def test_batch_norm_per_device_differs(alone):
  apart = _trained(None, 2)
  assert _largest_difference(alone.params, apart.params) > 1e-3
  assert _largest_difference(alone.state, apart.state) > 1e-3
