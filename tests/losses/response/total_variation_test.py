"""Total variation against numbers by hand and NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import losses


def _probabilities(logits, temperature):
  powers = np.exp(logits / temperature)
  return powers / powers.sum(-1, keepdims=True)


def test_is_the_mass_that_moved():
  teacher = np.log(np.array([[0.5, 0.3, 0.2]]))
  student = np.log(np.array([[0.1, 0.3, 0.6]]))
  with jax.enable_x64(True):
    found = losses.total_variation_loss(student, teacher)
  np.testing.assert_allclose(found, [0.4], rtol=1e-12)


def test_value_and_gradient_are_those_of_numpy():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(scale=3.0, size=(2, 7, 5))
  p, q = (_probabilities(x, 2.5) for x in (teacher, student))
  by_hand = np.abs(p - q).sum(1) / 2
  sign = np.sign(q - p) / 2
  slope = q * (sign - (q * sign).sum(1, keepdims=True)) / 2.5

  def value(x):
    return jnp.sum(losses.total_variation_loss(x, teacher, temperature=2.5))

  with jax.enable_x64(True):
    found = losses.total_variation_loss(student, teacher, temperature=2.5)
    np.testing.assert_allclose(found, by_hand, rtol=1e-10)
    np.testing.assert_allclose(jax.grad(value)(student), slope, rtol=1e-8)


def test_alike_networks_keep_their_digits():
  """1e-6 of a logit apart, in float32."""
  teacher = np.zeros((1, 2), np.float32)
  student = np.array([[2.0**-20, 0.0]], np.float32)
  expected = np.tanh(2.0**-21) / 2
  np.testing.assert_allclose(
    losses.total_variation_loss(student, teacher), [expected], rtol=1e-5
  )


def test_networks_that_share_no_class_cost_1():
  logits = np.array([[0.0, 1e4], [1e30, 0.0]], np.float32)
  found = losses.total_variation_loss(logits, logits[:, ::-1])
  np.testing.assert_array_equal(found, [1.0, 1.0])
  slope = jax.grad(
    lambda x: jnp.sum(losses.total_variation_loss(x, logits[:, ::-1]))
  )(logits)
  np.testing.assert_array_equal(slope, 0.0)


def test_equal_networks_cost_nothing_and_have_no_slope():
  logits = np.array([[1.0, 2.0, 3.0]], np.float32)
  value, slope = jax.value_and_grad(
    lambda x: jnp.sum(losses.total_variation_loss(x, logits))
  )(logits)
  assert value == 0.0
  np.testing.assert_array_equal(slope, 0.0)
