"""The overhaul's partial distance and its margins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import feature_maps as reference

from kdjax.losses import RefusedError
from kdjax.losses.feature import overhaul

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize(
  ('student', 'teacher'), [((3, 4), (3, 4)), ((2, 2), (4, 4)), ((4, 4), (2, 2))]
)
def test_overhaul_loss(student, teacher):
  generator = np.random.default_rng(0)
  s = generator.normal(size=(2, *student, 3))
  t = generator.normal(size=(2, *teacher, 3))
  margin = np.array([-0.1, -0.7, -1.5])
  expected = reference.overhaul(s, t, margin)
  with jax.enable_x64(True):
    loss = jax.jit(overhaul.overhaul_loss)(
      jnp.asarray(s), jnp.asarray(t), jnp.asarray(margin)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_overhaul_loss_by_hand():
  s = jnp.array([2.0, -5.0, 0.3, -0.6, 1.0]).reshape(1, 1, 1, 5)
  t = jnp.array([1.0, -2.0, -0.2, -0.3, -9.0]).reshape(1, 1, 1, 5)
  # 1 too much; far below the margin: free; 0.5 above a silent 0.2; below it:
  # free; 1 + 0.5 above the margin.
  loss = overhaul.overhaul_loss(s, t, jnp.full((5,), -0.5))
  np.testing.assert_allclose(loss, [1.0 + 0.25 + 2.25], rtol=1e-6)


def test_zero_at_the_margin_relu_of_the_teacher():
  t = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
  margin = np.array([-0.2, -0.5, -1.0, 0.0], np.float32)
  student = np.maximum(t, margin)
  loss = jax.jit(overhaul.overhaul_loss)(student, t, margin)
  np.testing.assert_array_equal(loss, 0)


def test_silent_neurons_have_no_gradient():
  s = jnp.full((1, 1, 1, 1), -1e30)
  t = jnp.full((1, 1, 1, 1), -1.0)
  margin = jnp.array([-0.5])
  value, gradient = jax.jit(
    jax.value_and_grad(lambda s: jnp.sum(overhaul.overhaul_loss(s, t, margin)))
  )(s)
  assert value == 0
  assert gradient == 0


def negative_mean(scale, bias):
  """`E[x | x < 0]` of a Gaussian by the midpoint rule."""
  s = abs(scale)
  low = min(0.0, bias) - 12 * s
  steps = 200_000
  width = (0.0 - low) / steps
  x = low + width * (np.arange(steps) + 0.5)
  density = np.exp(-(((x - bias) / s) ** 2) / 2)
  return (x * density).sum() / density.sum()


def test_margin_is_the_mean_of_negative_values():
  cases = [
    (scale, bias)
    for scale in (0.5, -1.0)
    for bias in (-2.0, -0.5, 0.0, 0.3, 1.4)
  ]
  expected = [negative_mean(scale, bias) for scale, bias in cases]
  scale, bias = np.array(cases).T
  with jax.enable_x64(True):
    margin = jax.jit(overhaul.overhaul_margin)(scale, bias)
    np.testing.assert_allclose(margin, expected, rtol=1e-6)


def test_margin_of_scale_one_by_hand():
  # E[x | x < 0] of a standard normal is -sqrt(2 / pi).
  margin = overhaul.overhaul_margin(jnp.ones((1,)), jnp.zeros((1,)))
  np.testing.assert_allclose(margin, [-np.sqrt(2 / np.pi)], rtol=1e-6)


def test_margin_of_extreme_ratios():
  cases = [
    (1.0, 3.2, -3.0),  # P(x < 0) = 0.0007
    (-2.0, 1e4, -6.0),
    (1e-30, 1.0, -3e-30),
    (1.0, -1e4, -1e4),
    (1e-30, -1.0, -1.0),
    (0.0, -0.7, -0.7),
    (0.0, 0.7, 0.0),
    (0.0, 0.0, 0.0),
  ]
  scale, bias, expected = np.array(cases, np.float32).T

  def total(scale, bias):
    margin = overhaul.overhaul_margin(scale, bias)
    return jnp.sum(margin), margin

  _, margin = total(scale, bias)
  np.testing.assert_allclose(margin, expected, rtol=1e-6)
  gradients, margin = jax.jit(jax.grad(total, (0, 1), has_aux=True))(
    scale, bias
  )
  np.testing.assert_allclose(margin, expected, rtol=1e-6)
  assert np.isfinite(gradients).all()


def test_shapes_that_do_not_fit():
  maps = jnp.zeros((2, 3, 3, 4))
  with pytest.raises(RefusedError):
    overhaul.overhaul_loss(maps, maps, jnp.zeros((3,)))
  with pytest.raises(RefusedError):
    overhaul.overhaul_loss(maps, jnp.zeros((2, 3, 3, 5)), jnp.zeros((4,)))
  with pytest.raises(RefusedError):
    overhaul.overhaul_margin(jnp.zeros((3,)), jnp.zeros((4,)))
