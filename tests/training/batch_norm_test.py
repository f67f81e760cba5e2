"""Batch norm over the global batch does not see the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data, models, training, transforms

_RANDOM = np.random.default_rng(0)
_PIXELS = _RANDOM.integers(0, 255, (20, 4, 4, 1)).astype(np.uint8)
_LABELS = _RANDOM.integers(0, 3, 20).astype(np.int32)


_LOSS = transforms.labels()
_OPTIMIZER = training.make_optimizer('sgd', 0.05)


def _model(axis_name):
  network = models.ConvNet((3, 4), (1, 1), 3, axis_name=axis_name)
  return models.normalised(models.from_linen(network), (127.0,), (74.0,))


@pytest.fixture(scope='module')
def start():
  batch = {'image': jax.ShapeDtypeStruct((8, 4, 4, 1), jnp.uint8)}
  init = jax.jit(
    lambda: training.init_state(0, _model(None), _LOSS, _OPTIMIZER, batch, {})
  )
  return jax.device_get(init())


def _trained(start, axis_name, count):
  """One epoch of three steps, the last with padding."""
  devices = jax.local_devices()[:count]
  run = training.streaming_epoch(
    training.make_train_step(
      _model(axis_name), _LOSS, _OPTIMIZER, axis_name=training.AXIS
    ),
    None,
    data.from_arrays(_PIXELS, _LABELS),
    data.identity_view().augment,
    key=jax.random.key(2),
    batch_size=8,
    devices=devices,
  )
  state, _ = run(training.replicate(start, devices), 0)
  return jax.device_get(state.model)


@pytest.fixture(scope='module')
def alone(start):
  return _trained(start, None, 1)


def _largest_difference(one, other):
  differences = jax.tree.map(lambda x, y: np.max(np.abs(x - y)), one, other)
  return max(jax.tree.leaves(differences))


def test_synchronised_batch_norm_equals_one_device(start, alone):
  together = _trained(start, training.AXIS, 2)
  assert jax.tree.leaves(together.state)
  assert _largest_difference(alone, together) < 2e-5


def test_batch_norm_per_device_differs(start, alone):
  apart = _trained(start, None, 2)
  assert _largest_difference(alone.params, apart.params) > 1e-3
  assert _largest_difference(alone.state, apart.state) > 1e-3
