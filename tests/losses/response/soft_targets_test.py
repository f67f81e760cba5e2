"""Soft targets against loops, closed forms and saturated logits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from references import losses as reference

from kdjax.losses import RefusedError, soft_target_loss


def _logits(seed, shape=(6, 5), scale=3.0):
  rng = np.random.RandomState(seed)
  return rng.randn(*shape) * scale, rng.randn(*shape) * scale


@jax.jit
def _value_and_slope(student, teacher, temperature=1.0):
  def total(student):
    losses = soft_target_loss(student, teacher, temperature=temperature)
    return jnp.sum(losses), losses

  slope, losses = jax.grad(total, has_aux=True)(student)
  return losses, slope


@pytest.mark.parametrize(
  ('wrap', 'shape', 'temperature'),
  [
    (lambda f: f, (6, 5), 4.0),
    (jax.jit, (6, 5), 4),
    (jax.jit, (6, 5), 20.0),
    (jax.jit, (2, 3, 5), 1.0),
    (jax.jit, (5,), 0.5),
  ],
)
def test_matches_loops(wrap, shape, temperature):
  student, teacher = _logits(0, shape)
  with jax.enable_x64(True):
    loss = wrap(lambda s, t: soft_target_loss(s, t, temperature=temperature))
    result = loss(jnp.asarray(student), jnp.asarray(teacher))
  assert result.dtype == np.float64
  expected = reference.soft_targets(student, teacher, temperature)
  assert result.shape == shape[:-1]
  np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_by_hand(temperature):
  student = np.log([0.75, 0.25]) * temperature + 3
  teacher = np.log([0.5, 0.5]) * temperature - 2
  # The temperature is an argument of the compiled function: it may be traced.
  loss, _ = _value_and_slope(
    jnp.asarray(student, jnp.float32),
    jnp.asarray(teacher, jnp.float32),
    temperature,
  )
  expected = temperature**2 * math.log(4 / 3) / 2
  assert loss == pytest.approx(expected, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), temperature=st.floats(0.2, 30))
def test_gradient_is_the_difference_of_predictions(seed, temperature):
  student, teacher = _logits(seed)
  with jax.enable_x64(True):
    _, slope = _value_and_slope(
      jnp.asarray(student), jnp.asarray(teacher), temperature
    )
  q, p = np.exp(student / temperature), np.exp(teacher / temperature)
  q, p = q / q.sum(-1, keepdims=True), p / p.sum(-1, keepdims=True)
  np.testing.assert_allclose(slope, temperature * (q - p), atol=1e-12)


def test_gradient_matches_differences_in_both_arguments():
  student, teacher = _logits(3)
  with jax.enable_x64(True):
    loss = jax.jit(lambda s, t: soft_target_loss(s, t, temperature=4.0))
    arrays = jnp.asarray(student), jnp.asarray(teacher)
    check_grads(loss, arrays, order=1, modes=('rev',))


def test_zero_at_the_teacher_and_for_one_class():
  student, teacher = (jnp.asarray(x) for x in _logits(1))
  for pair in (
    (student, student),
    (student + 5, student),
    (student[:, :1], teacher[:, :1]),
  ):
    losses, slope = _value_and_slope(*pair, 4.0)
    np.testing.assert_allclose(losses, 0, atol=1e-5)
    np.testing.assert_allclose(slope, 0, atol=1e-5)


def test_never_negative_and_blind_to_the_order_of_classes():
  student, teacher = (jnp.asarray(x, jnp.float32) for x in _logits(1))
  losses, _ = _value_and_slope(student, teacher)
  assert (losses > 0).all()
  order = np.array([3, 0, 4, 1, 2])
  shuffled, _ = _value_and_slope(student[:, order], teacher[:, order])
  np.testing.assert_allclose(shuffled, losses, rtol=1e-5)


def test_saturated_logits():
  logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
  losses, slope = _value_and_slope(logits, -logits)
  np.testing.assert_allclose(losses, [2e4, 2e4])
  np.testing.assert_allclose(slope, [[1, -1, 0], [-1, 1, 0]], atol=1e-6)


@pytest.mark.parametrize('mask', [-np.inf, -1e9, np.finfo(np.float32).min])
def test_classes_that_either_network_masks_are_as_if_absent(mask):
  student, teacher = (np.float32(x) for x in _logits(4, (4, 5)))
  kept = np.ones((4, 5), bool)
  # By the teacher, by the student, by both, and another by each.
  teacher[0, 2] = student[1, 0] = mask
  student[2, 3] = teacher[2, 3] = student[3, 1] = teacher[3, 4] = mask
  kept[[0, 1, 2, 3, 3], [2, 0, 3, 1, 4]] = False
  losses, slope = _value_and_slope(student, teacher, 2.0)
  np.testing.assert_array_equal(slope[~kept], 0)
  for row, keep in enumerate(kept):
    s, t = np.float64(student[row, keep]), np.float64(teacher[row, keep])
    expected = reference.soft_targets(s, t, 2.0)
    assert losses[row] == pytest.approx(float(expected), rel=1e-5)
    q, p = np.exp(s / 2), np.exp(t / 2)
    np.testing.assert_allclose(
      slope[row, keep], 2 * (q / q.sum() - p / p.sum()), atol=1e-6
    )


@pytest.mark.parametrize(
  ('scale', 'offset', 'temperature'),
  [(3, 0, 1), (3, 1e4, 4.0), (1e4, 0, 1.0), (1e4, 0, 1000.0), (30, 0, 20.0)],
)
def test_float32_is_close_to_float64(scale, offset, temperature):
  student, teacher = (
    np.float32(x + offset) for x in _logits(5, (8, 50), scale)
  )
  single, slope = _value_and_slope(student, teacher, temperature)
  assert single.dtype == slope.dtype == np.float32
  # Not the loops: their logarithm of a probability underflows at 1e4.
  with jax.enable_x64(True):
    double, expected = _value_and_slope(
      np.float64(student), np.float64(teacher), temperature
    )
  np.testing.assert_allclose(single, double, rtol=1e-4)
  np.testing.assert_allclose(
    slope, expected, atol=1e-4 * np.abs(expected).max()
  )


def test_half_precision_sums_in_float32():
  student, teacher = (
    np.asarray(x, jnp.bfloat16) for x in _logits(2, (2, 3000))
  )
  result = jax.jit(soft_target_loss)(student, teacher)
  assert result.dtype == np.float32
  expected = reference.soft_targets(
    np.asarray(student, np.float64), np.asarray(teacher, np.float64)
  )
  np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_float32_stays_so_under_x64():
  with jax.enable_x64(True):
    x = jnp.ones((2, 3), jnp.float32)
    assert soft_target_loss(x, x, temperature=4).dtype == np.float32


@pytest.mark.parametrize(
  ('student', 'teacher'),
  [
    (jnp.ones((2, 3)), jnp.ones((2, 4))),
    (jnp.ones((2, 3)), jnp.ones((1, 3))),
    (jnp.ones((2, 3)), jnp.ones(3)),
    (jnp.ones((2, 3), int), jnp.ones((2, 3))),
    (jnp.ones((2, 3)), jnp.ones((2, 3), int)),
  ],
)
def test_wrong_arguments(student, teacher):
  with pytest.raises(RefusedError):
    soft_target_loss(student, teacher)
