"""What standardised, direction and DIST losses do not notice."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses.response import (
  direction,
  dist,
  standardised,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

SETTINGS = hypothesis.settings(
  max_examples=12, deadline=None, derandomize=True, database=None
)
SEEDS = st.integers(0, 2**31)
_jitted = functools.cache(jax.jit)


def _pair(seed, shape=(4, 5)):
  return np.random.default_rng(seed).normal(size=(2, *shape))


@hypothesis.given(
  seed=SEEDS, scale=st.floats(0.1, 100.0), shift=st.floats(-100.0, 100.0)
)
@SETTINGS
def test_standardised_ignores_shift_and_scale(seed, scale, shift):
  student, teacher = _pair(seed)
  loss = _jitted(standardised.standardised_soft_target_loss)
  with jax.enable_x64(True):
    np.testing.assert_allclose(
      loss(student, teacher),
      loss(scale * student + shift, teacher),
      rtol=1e-4,
      atol=1e-6,
    )


def test_standardised_logits_have_unbiased_unit_deviation():
  with jax.enable_x64(True):
    z = np.asarray(standardised.standardise_logits(_pair(2)[0]))
  np.testing.assert_allclose(np.mean(z, axis=-1), 0, atol=1e-12)
  np.testing.assert_allclose(np.std(z, axis=-1, ddof=1), 1, rtol=1e-6)


@pytest.mark.parametrize('row', [[3333.3] * 5, [0.1] * 5, [7.0]])
def test_equal_logits_standardise_to_zero(row):
  row = jnp.array(row)
  np.testing.assert_array_equal(standardised.standardise_logits(row), 0)
  jacobian = jax.jit(jax.jacobian(standardised.standardise_logits))(row)
  np.testing.assert_array_equal(jacobian, 0)


def test_standardised_keeps_small_differences_of_large_logits():
  rows = np.array([[1e4, 1e4 + 0.25, 1e4 - 0.5, 1e4]], np.float32)
  np.testing.assert_allclose(
    standardised.standardise_logits(rows),
    standardised.standardise_logits(rows - np.float32(1e4)),
    rtol=1e-6,
  )


@hypothesis.given(seed=SEEDS)
@SETTINGS
def test_direction_ignores_rotation_and_row_scale(seed):
  student, teacher = _pair(seed)
  rng = np.random.default_rng(seed)
  rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
  moved = rng.uniform(0.1, 9.0, size=(4, 1)) * student @ rotation
  loss = _jitted(direction.streamlined_direction_loss)
  with jax.enable_x64(True):
    np.testing.assert_allclose(
      loss(student, teacher), loss(moved, teacher), rtol=1e-10
    )
    np.testing.assert_allclose(loss(student, moved), 0, atol=1e-12)


@hypothesis.given(seed=SEEDS)
@SETTINGS
def test_dist_ignores_a_shift_of_each_row(seed):
  student, teacher = _pair(seed)
  loss = _jitted(dist.dist_loss)
  with jax.enable_x64(True):
    np.testing.assert_allclose(
      loss(student, teacher),
      loss(student + np.arange(4.0)[:, None], teacher),
      rtol=1e-10,
    )


def test_dist_counts_constants_as_uncorrelated_without_gradient():
  student, teacher = jnp.zeros((3, 4)), jnp.eye(3, 4)
  value, gradient = jax.jit(jax.value_and_grad(dist.dist_loss))(
    student, teacher
  )
  assert value == 2
  np.testing.assert_array_equal(gradient, 0)
