"""Mixup and cutmix: shares of pixels and labels, and where they come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data

_CLASSES, _SIDE = 5, 16


def _batch(count=64):
  """Images of one grey each, which tell how much of them is in a mixture."""
  grey = (3 * np.random.default_rng(0).permutation(count)).astype(np.uint8)
  image = np.tile(grey[:, None, None, None], (1, _SIDE, _SIDE, 1))
  return {
    'image': jnp.asarray(image),
    'label': jnp.arange(count, dtype=jnp.int32) % _CLASSES,
    'index': jnp.arange(count, dtype=jnp.int32),
  }


def _mix(batch, key=0, places=None, **alphas):
  places = jnp.arange(len(batch['label'])) if places is None else places
  views = data.mixed(data.identity_view(), _CLASSES, **alphas)
  keys = data.example_keys(jax.random.key(key), places)
  return jax.device_get(jax.jit(views.augment)(keys, batch))


def _shares(batch, found):
  """The share of every image in its mixture, as its labels say."""
  label = np.asarray(batch['label'])
  return found['label'][np.arange(len(label)), label]


@pytest.mark.parametrize('alphas', [{'mixup': 0.4}, {'cutmix': 1.0}])
def test_labels_have_the_shares_of_the_pixels(alphas):
  batch = _batch()
  found = _mix(batch, **alphas)
  assert found['label'].dtype == np.float32
  assert found['image'].dtype == np.uint8
  own = np.float64(batch['image'][:, 0, 0, 0])
  other = own.reshape(-1, 2)[:, ::-1].ravel()
  share = _shares(batch, found)
  np.testing.assert_allclose(found['label'].sum(axis=1), 1, atol=1e-6)
  # The neighbour's class has the rest.
  neighbour = np.asarray(batch['label']).reshape(-1, 2)[:, ::-1].ravel()
  rest = found['label'][np.arange(64), neighbour]
  np.testing.assert_allclose(share + rest, 1, atol=1e-6)
  mean = found['image'].mean(axis=(1, 2, 3))
  np.testing.assert_allclose(mean, share * own + (1 - share) * other, atol=0.51)
  # Both neighbours keep the same share.
  np.testing.assert_allclose(share[::2], share[1::2], atol=1e-6)
  np.testing.assert_array_equal(found['index'], batch['index'])


def test_mixup_blends_all_pixels_and_cutmix_swaps_some():
  batch = _batch()
  blended = _mix(batch, mixup=1.0)['image'].reshape(64, -1)
  assert np.all(blended == blended[:, :1])
  found = _mix(batch, cutmix=1.0)['image'][..., 0]
  own = np.asarray(batch['image'][:, 0, 0, 0])
  other = own.reshape(-1, 2)[:, ::-1].ravel()
  swapped = found != own[:, None, None]
  assert np.all(
    found[swapped]
    == np.broadcast_to(other[:, None, None], found.shape)[swapped]
  )
  for mask in swapped:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if mask.any():  # A full rectangle.
      inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
      assert inside.all()
      assert inside.sum() == mask.sum()
  assert 0.1 < swapped.mean() < 0.5


@pytest.mark.parametrize('alpha', [0.2, 1.0, 4.0])
def test_shares_have_the_beta_distribution(alpha):
  batch = _batch(2400)
  shares = _shares(batch, _mix(batch, mixup=alpha))[::2]
  assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
  variance = 1 / (4 * (2 * alpha + 1))
  assert np.var(shares) == pytest.approx(variance, rel=0.12)


def test_both_take_turns():
  found = _mix(_batch(256), mixup=1.0, cutmix=1.0)['image'].reshape(256, -1)
  blended = np.all(found == found[:, :1], axis=1)[::2]
  assert 0.3 < blended.mean() < 0.75


def test_pairs_do_not_depend_on_their_device():
  """A part of the batch is mixed as it is within the whole."""
  batch = _batch()
  whole = _mix(batch, mixup=0.5, cutmix=0.5)
  part = jax.tree.map(lambda x: x[24:40], batch)
  found = _mix(part, places=jnp.arange(24, 40), mixup=0.5, cutmix=0.5)
  # XLA's vectors round the draws of longer batches in another way.
  np.testing.assert_allclose(
    found['label'], whole['label'][24:40], rtol=0, atol=1e-5
  )
  difference = np.int32(found['image']) - np.int32(whole['image'][24:40])
  assert np.abs(difference).max() <= 1
  assert np.mean(difference != 0) < 0.02


def test_views_are_rendered_first():
  batch = {**_batch(8), 'image': jnp.zeros((8, 20, 30, 3), jnp.uint8)}
  views = data.mixed(data.random_resized_crop_views(12), 5, cutmix=1.0)
  keys = jax.random.split(jax.random.key(0), 8)
  found = jax.eval_shape(views.augment, keys, batch)
  assert found['image'].shape == (8, 12, 12, 3)
  assert views.total == 1000


def test_nothing_to_mix():
  views = data.flip_views()
  assert data.mixed(views, 5) is views


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      lambda x: jax.tree.map(lambda y: y[:7], x),
      'must be even on every device',
    ),
    (
      lambda x: {**x, 'size': jnp.ones((8, 2), jnp.int32)},
      'must have one size',
    ),
    (lambda x: {**x, 'label': jnp.ones((8, 5))}, 'Labels to mix must be integ'),
  ],
)
def test_batches_that_cannot_be_mixed(change, message):
  with pytest.raises(ValueError, match=message):
    _mix(change(_batch(8)), mixup=1.0)


def test_what_is_refused():
  views = data.identity_view()
  with pytest.raises(ValueError, match='cutmix must be 0 or more'):
    data.mixed(views, 5, cutmix=-1)
  mixed = data.mixed(views, 5, mixup=1)
  with pytest.raises(ValueError, match='must not mix examples'):
    data.mixed(mixed, 5, mixup=1)
  with pytest.raises(ValueError, match='mix after chaining'):
    data.chain_views(mixed, views)
