"""Losses that compare channels, against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import feature_maps as reference

from kdjax.losses.feature import (
  channel_wise,
  fsp,
  inter_channel,
  neuron_selectivity,
  pearson,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

# Student and teacher: a larger student (neither square nor divisible), a larger
# teacher, a map of one position.
PAIRS = [
  ((2, 5, 4, 3), (2, 3, 2, 2)),
  ((2, 2, 2, 3), (2, 4, 4, 1)),
  ((1, 1, 1, 2), (1, 3, 3, 2)),
]


@pytest.mark.parametrize(('student', 'teacher'), PAIRS[:2])
def test_linear_neuron_selectivity(check, random_maps, student, teacher):
  s, t = random_maps(student, teacher)
  expected = reference.neuron_selectivity(s, t, reference.linear_kernel)
  check(neuron_selectivity.linear_neuron_selectivity_loss, expected, s, t)


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize(('degree', 'offset'), [(2, 0.0), (3, 1.0)])
def test_polynomial_neuron_selectivity(
  check, random_maps, student, teacher, degree, offset
):
  s, t = random_maps(student, teacher)
  kernel = reference.polynomial_kernel(degree, offset)
  check(
    neuron_selectivity.polynomial_neuron_selectivity_loss,
    reference.neuron_selectivity(s, t, kernel),
    s,
    t,
    degree=degree,
    offset=offset,
  )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS[:2])
@pytest.mark.parametrize('variance', [None, 0.3])
def test_gaussian_neuron_selectivity(
  check, random_maps, student, teacher, variance
):
  s, t = random_maps(student, teacher)
  kernel = reference.gaussian_kernel(variance)
  check(
    neuron_selectivity.gaussian_neuron_selectivity_loss,
    reference.neuron_selectivity(s, t, kernel),
    s,
    t,
    variance=variance,
  )


def test_linear_kernel_is_polynomial_of_degree_one(check, random_maps):
  s, t = random_maps((2, 3, 3, 4), (2, 3, 3, 2))
  check(
    neuron_selectivity.polynomial_neuron_selectivity_loss,
    reference.neuron_selectivity(s, t, reference.linear_kernel),
    s,
    t,
    degree=1,
  )


@pytest.mark.parametrize('summed', [False, True])
def test_fsp(check, random_maps, summed):
  s = random_maps((2, 4, 4, 2), (2, 2, 2, 3), seed=1)
  t = random_maps((2, 3, 3, 2), (2, 6, 6, 3), seed=2)
  expected = reference.fsp(s, t, summed)
  check(fsp.fsp_loss, expected, tuple(s), tuple(t), summed=summed)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_channel_wise(check, random_maps, temperature):
  s, t = random_maps((2, 3, 4, 2), (2, 3, 4, 2))
  expected = reference.channel_wise(s, t, temperature)
  check(channel_wise.channel_wise_loss, expected, s, t, temperature=temperature)


def test_pearson_feature(check, random_maps):
  s, t = random_maps((3, 2, 4, 2), (3, 2, 4, 2))
  expected = reference.pearson_feature(s, t)
  check(pearson.pearson_feature_loss, expected, s, t)


def test_pearson_feature_is_one_minus_the_correlation(random_maps):
  s, t = random_maps((3, 2, 4, 1), (3, 2, 4, 1))
  r = np.corrcoef(s.ravel(), t.ravel())[0, 1]
  n = s.size
  loss = pearson.pearson_feature_loss(jnp.float32(s), jnp.float32(t))
  np.testing.assert_allclose(loss, (n - 1) / n * (1 - r), rtol=1e-5)


def test_pearson_feature_resizes_the_student():
  # Bilinear, half-pixel centres, edges clamped: 0 1 -> 0 0.25 0.75 1.
  s = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
  t = jnp.array([0.0, 0.25, 0.75, 1.0]).reshape(1, 1, 4, 1)
  np.testing.assert_allclose(pearson.pearson_feature_loss(s, t), 0, atol=1e-6)


@pytest.mark.parametrize('sizes', [((2, 2), (2, 2)), ((3, 2), (4, 4))])
def test_inter_channel(check, random_maps, sizes):
  s, t = random_maps((2, *sizes[0], 3), (2, *sizes[1], 3))
  expected = reference.inter_channel(s, t)
  check(inter_channel.inter_channel_loss, expected, s, t)


pearson_and_gradient = jax.jit(
  jax.value_and_grad(
    lambda s, t, mask: pearson.pearson_feature_loss(s, t, mask=mask)
  )
)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_pearson_padding_is_as_if_absent(seed):
  generator = np.random.default_rng(seed)
  s, t = generator.normal(size=(2, 3, 4, 4, 2)).astype(np.float32)
  padding = np.full((2, 4, 4, 2), np.nan, np.float32)
  mask = jnp.array([1, 1, 1, 0, 0])

  value, gradient = pearson_and_gradient(s, t, None)
  padded, padded_gradient = pearson_and_gradient(
    np.concatenate([s, padding]), np.concatenate([t, padding]), mask
  )
  np.testing.assert_allclose(padded, value, rtol=1e-5)
  np.testing.assert_allclose(
    padded_gradient[:3], gradient, rtol=1e-4, atol=1e-6
  )
  np.testing.assert_array_equal(padded_gradient[3:], 0)


def test_pearson_of_padding_only():
  nothing = jnp.full((5, 4, 4, 2), jnp.nan)
  value, gradient = pearson_and_gradient(nothing, nothing, jnp.zeros((5,), int))
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)
