"""Coupled losses on logits: padding is as if absent, order does not matter."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from kdjax.losses.response import direction, dist

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

SETTINGS = hypothesis.settings(
  max_examples=12, deadline=None, derandomize=True, database=None
)
COUPLED = {
  'dist': dist.dist_loss,
  'direction': direction.streamlined_direction_loss,
}


@pytest.mark.parametrize('name', COUPLED)
@hypothesis.given(
  seed=st.integers(0, 2**31),
  places=st.permutations(range(6)),
  order=st.permutations(range(4)),
)
@SETTINGS
def test_masked_and_permuted_is_as_unpadded(name, seed, places, order):
  rng = np.random.default_rng(seed)
  student, teacher = rng.normal(size=(2, 4, 5))
  places = np.array(places[:4])
  padded = np.full((2, 6, 5), np.nan)
  padded[0, places], padded[1, places] = student, teacher
  mask = np.isin(np.arange(6), places)
  order = np.array(order)
  with jax.enable_x64(True):
    run = _masked_value_and_gradient(name)
    expected, gradient = run(student[order], teacher[order], np.ones(4))
    actual, padded_gradient = run(padded[0], padded[1], mask.astype(float))
    padded_gradient = np.asarray(padded_gradient)
    np.testing.assert_allclose(actual, expected, rtol=1e-10)
    np.testing.assert_allclose(
      padded_gradient[places[order]], gradient, rtol=1e-8, atol=1e-12
    )
    np.testing.assert_array_equal(padded_gradient[~mask], 0)


@functools.cache
def _masked_value_and_gradient(name):
  return jax.jit(
    jax.value_and_grad(lambda s, t, mask: COUPLED[name](s, t, mask=mask))
  )


@pytest.mark.parametrize('name', COUPLED)
def test_no_valid_example(name):
  student = np.full((3, 4), np.nan, np.float32)
  value, gradient = _masked_value_and_gradient(name)(
    student, student, np.zeros(3)
  )
  assert np.isfinite(value)
  np.testing.assert_array_equal(gradient, 0)


def test_dist_of_classes_that_differ_by_example():
  rng = np.random.default_rng(3)
  student, teacher = rng.normal(size=(2, 4, 5))
  keep = np.ones((4, 5), bool)
  keep[0, :2] = keep[2, 4] = False

  def softmax(logits):
    powers = np.where(keep, np.exp(logits), 0)
    return powers / powers.sum(axis=1, keepdims=True)

  def decorrelation(a, b, kept):
    a, b = (x[kept] - x[kept].mean() for x in (a, b))
    return 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-8)

  p, q = softmax(teacher), softmax(student)
  rows = [decorrelation(q[i], p[i], keep[i]) for i in range(4)]
  columns = [decorrelation(q[:, k], p[:, k], keep[:, k]) for k in range(5)]
  with jax.enable_x64(True):
    loss = dist.dist_loss(student, np.where(keep, teacher, -np.inf))
  np.testing.assert_allclose(loss, np.mean(rows) + np.mean(columns), rtol=1e-12)
