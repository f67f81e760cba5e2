"""Losses that regress features, against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import feature_maps as reference

from kdjax.losses import RefusedError
from kdjax.losses.feature import (
  activation_boundary,
  attention,
  channel_wise,
  hierarchical_context,
  inter_channel,
  masked_generative,
  neuron_selectivity,
  pearson,
  simkd,
  variational,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize('margin', [0.0, 1.0, 2.5])
def test_activation_boundary(check, random_maps, margin):
  s, t = random_maps((2, 3, 3, 2), (2, 3, 3, 2))
  expected = reference.activation_boundary(s, t, margin)
  check(
    activation_boundary.activation_boundary_loss,
    expected,
    s,
    t,
    margin=margin,
  )


def test_activation_boundary_by_hand():
  # Fires and should: 0.5 short of the margin. Does not fire and should: 3 + 1.
  # Fires and should not: 2 + 1. A silent teacher's 0 counts as not firing.
  s = jnp.array([[0.5, -3.0, 2.0, -1.0]])
  t = jnp.array([[1.0, 2.0, -1.0, 0.0]])
  loss = activation_boundary.activation_boundary_loss(s, t)
  np.testing.assert_allclose(loss, [0.25 + 16.0 + 9.0], rtol=1e-6)


@pytest.mark.parametrize('shape', [(2, 5, 5, 2), (2, 8, 6, 1), (3, 1, 1, 4)])
def test_hierarchical_context(check, random_maps, shape):
  s, t = random_maps(shape, shape)
  expected = reference.hierarchical_context(s, t)
  check(hierarchical_context.hierarchical_context_loss, expected, s, t)


def test_hierarchical_context_of_other_levels(check, random_maps):
  s, t = random_maps((2, 4, 4, 2), (2, 4, 4, 2))
  check(
    hierarchical_context.hierarchical_context_loss,
    reference.hierarchical_context(s, t, (3, 2)),
    s,
    t,
    levels=(3, 2),
  )


@pytest.mark.parametrize('shape', [(2, 2, 3, 2), (2, 3, 2), (2, 2)])
def test_variational_information(check, random_maps, shape):
  mean, t, log_scale = random_maps(shape, shape, (2,))
  expected = reference.variational_information(mean, t, log_scale, 1e-5)
  check(variational.variational_information_loss, expected, mean, t, log_scale)


def test_variational_information_pools_the_larger(check, random_maps):
  mean, t, log_scale = random_maps((2, 2, 2, 3), (2, 4, 4, 3), (3,))
  pooled = reference.average_pool(t, 2, 2)
  check(
    variational.variational_information_loss,
    reference.variational_information(mean, pooled, log_scale, 1e-5),
    mean,
    t,
    log_scale,
  )


@pytest.mark.parametrize('variance', [1e-3, 5.0, 100.0, 2000.0])
def test_initial_log_scale(variance):
  log_scale = variational.initial_log_scale(variance)
  assert np.isfinite(log_scale)
  softplus = np.logaddexp(0.0, log_scale)
  np.testing.assert_allclose(softplus + 1e-5, variance, rtol=1e-9)


def test_initial_log_scale_by_default():
  expected = np.log(np.exp(5.0 - 1e-5) - 1)
  np.testing.assert_allclose(
    variational.initial_log_scale(), expected, rtol=1e-12
  )


def test_variance_trains(random_maps):
  mean, t = random_maps((2, 2, 2, 3), (2, 2, 2, 3))
  log_scale = jnp.full((3,), variational.initial_log_scale())

  def loss(log_scale):
    return jnp.mean(
      variational.variational_information_loss(
        jnp.float32(mean), jnp.float32(t), log_scale
      )
    )

  # Residuals of variance 2 under a variance of 5: it should fall.
  assert (np.asarray(jax.jit(jax.grad(loss))(log_scale)) > 0).all()


def test_masked_generative(check, random_maps):
  s, t = random_maps((2, 3, 3, 2), (2, 3, 3, 2))
  expected = reference.sum_of_squares(s, t)
  check(masked_generative.masked_generative_loss, expected, s, t)


@pytest.mark.parametrize('shape', [(4, 30, 30, 1), (40, 1, 1, 90)])
def test_random_mask(shape):
  key = jax.random.key(0)
  mask = masked_generative.random_mask(key, shape, ratio=0.15)
  assert mask.shape == shape
  assert mask.dtype == bool
  np.testing.assert_allclose(np.mean(mask), 0.85, atol=0.03)
  assert np.all(masked_generative.random_mask(key, shape, ratio=0.0))


@pytest.mark.parametrize(('student', 'teacher'), [(4, 4), (2, 4), (4, 2)])
def test_simkd(check, random_maps, student, teacher):
  s, t = random_maps((2, student, student, 3), (2, teacher, teacher, 3))
  pooled = reference.common_size(s, t)
  expected = reference.sum_of_squares(*pooled) / pooled[0][0].size
  check(simkd.simkd_loss, expected, s, t)


def test_simkd_of_vectors(check, random_maps):
  s, t = random_maps((4, 5), (4, 5))
  check(simkd.simkd_loss, reference.sum_of_squares(s, t) / 5, s, t)


@pytest.mark.parametrize(
  ('loss', 'student', 'teacher'),
  [
    (attention.attention_transfer_loss, (2, 3, 3, 1), (3, 3, 3, 1)),
    (attention.attention_transfer_loss, (2, 9), (2, 9)),
    (neuron_selectivity.linear_neuron_selectivity_loss, (2, 9), (2, 9)),
    (activation_boundary.activation_boundary_loss, (2, 3), (2, 4)),
    (
      hierarchical_context.hierarchical_context_loss,
      (2, 3, 3, 1),
      (2, 3, 3, 2),
    ),
    (channel_wise.channel_wise_loss, (2, 3, 3, 1), (2, 2, 2, 1)),
    (pearson.pearson_feature_loss, (2, 3, 3, 1), (2, 3, 3, 2)),
    (inter_channel.inter_channel_loss, (2, 3, 3, 1), (2, 3, 3, 2)),
    (simkd.simkd_loss, (2, 3, 3, 1), (2, 3, 3, 2)),
    (masked_generative.masked_generative_loss, (2, 3), (2, 4)),
  ],
)
def test_shapes_that_do_not_fit(loss, student, teacher):
  with pytest.raises(RefusedError):
    loss(jnp.zeros(student), jnp.zeros(teacher))
  with pytest.raises(RefusedError):
    loss(jnp.zeros(student, int), jnp.zeros(student, int))
