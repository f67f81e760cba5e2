"""Soft targets of classes that were drawn from the teacher."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import response as reference

from kdjax import losses

_RNG = np.random.default_rng(0)
STUDENT = 2 * _RNG.normal(size=(6, 5))
TEACHER = 2 * _RNG.normal(size=(6, 5))
INDICES = _RNG.integers(0, 5, size=(6, 4)).astype(np.int32)
WEIGHTS = _RNG.uniform(0.1, 0.5, size=(6, 4))


def _gradient(loss):
  return jax.grad(lambda *x: loss(*x).sum())


def test_sampled_values_are_those_of_the_loop():
  with jax.enable_x64(True):
    values = losses.sampled_soft_target_loss(
      STUDENT, INDICES, WEIGHTS, temperature=2.0
    )
  expected = reference.sampled_soft_target(STUDENT, INDICES, WEIGHTS, 2.0)
  np.testing.assert_allclose(values, expected, rtol=1e-12)


def _estimates(proposal_temperature, draws=4000, temperature=2.0):
  """Losses and gradients of many draws, `[draws, examples(, classes)]`."""

  @jax.jit
  @jax.vmap
  def run(key):
    drawn = losses.sample_targets(
      key,
      jnp.float32(TEACHER),
      samples=3,
      temperature=temperature,
      proposal_temperature=proposal_temperature,
    )
    loss = functools.partial(
      losses.sampled_soft_target_loss, temperature=temperature
    )
    s = jnp.float32(STUDENT)
    return loss(s, *drawn), _gradient(loss)(s, *drawn)

  return jax.device_get(run(jax.random.split(jax.random.key(0), draws)))


def _full_gradient(temperature=2.0):
  loss = functools.partial(losses.soft_target_loss, temperature=temperature)
  with jax.enable_x64(True):
    return np.asarray(_gradient(loss)(STUDENT, TEACHER))


@pytest.mark.parametrize('proposal_temperature', [0.8, 1.0, 2.0])
def test_sampled_targets_are_unbiased(proposal_temperature):
  values, slopes = _estimates(proposal_temperature)
  entropy = [reference.soft_cross_entropy(t / 2, t / 2) for t in TEACHER]
  with jax.enable_x64(True):
    full = np.asarray(
      losses.soft_target_loss(STUDENT, TEACHER, temperature=2.0)
    )
  for found, expected in (
    (values, full + 4 * np.array(entropy)),
    (slopes, _full_gradient()),
  ):
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * error + 1e-6)


def test_best_classes_made_to_sum_to_one_are_biased():
  _, slopes = _estimates(1.0)
  error = slopes.std(axis=0) / np.sqrt(len(slopes))
  log_p = np.array([reference.log_softmax(t / 2) for t in TEACHER])
  best = np.int32(np.argsort(-log_p, axis=1)[:, :3])
  weights = np.exp(np.take_along_axis(log_p, best, 1))
  weights /= weights.sum(axis=1, keepdims=True)
  loss = functools.partial(losses.sampled_soft_target_loss, temperature=2.0)
  with jax.enable_x64(True):
    slope = np.asarray(_gradient(loss)(STUDENT, best, weights))
  assert np.abs((slope - _full_gradient()) / (error + 1e-6)).max() > 20


def test_masked_classes_are_not_drawn_and_weights_are_shares():
  logits = np.float32([[0.0, -np.inf, 1.0, -1e9, -np.inf]])
  drawn = losses.sample_targets(
    jax.random.key(1), np.tile(logits, (3, 4, 1)), samples=50
  )
  assert drawn.indices.shape == drawn.weights.shape == (3, 4, 50)
  assert drawn.indices.dtype == jnp.int32
  assert set(np.unique(drawn.indices)) == {0, 2}
  np.testing.assert_array_equal(drawn.weights, np.float32(1 / 50))
  with pytest.raises(
    losses.RefusedError, match=r'^sample_targets: samples must'
  ):
    losses.sample_targets(jax.random.key(1), logits, samples=0)


def test_draws_that_weigh_nothing_or_are_masked_cost_nothing():
  student = np.float32([[0.3, -np.inf, 1.0]])
  indices, weights = np.int32([[0, 1, 2]]), np.float32([[0.5, 0.5, 0.0]])
  loss = losses.sampled_soft_target_loss
  value, slope = jax.value_and_grad(lambda s: loss(s, indices, weights)[0])(
    student
  )
  log_q = reference.log_softmax([0.3, 1.0])
  assert value == pytest.approx(-0.5 * log_q[0], rel=1e-6)
  assert np.isfinite(slope).all()
  assert slope[0, 1] == 0
