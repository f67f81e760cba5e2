"""The divergence of logits in float32, against NumPy in extended precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses.response import log_space


def _normal(seed, scale=1.0):
  draws = np.random.default_rng(seed).normal(size=(64, 50))
  return (scale * draws).astype(np.float32)


def _confident():
  logits = _normal(0, 3)
  logits[:, 3] += 15
  return logits


def _against_one():
  """A student sure that it is not the class a teacher slightly prefers."""
  rows = np.zeros((4, 50), np.float32)
  student, teacher = rows.copy(), rows.copy()
  student[:, 3], teacher[:, 3] = -1e4, 0.01
  return student, teacher


def _huge(values, classes):
  rng = np.random.default_rng(2)
  return rng.choice(np.float32(values), size=(2, 64, classes))


# Logits of student and teacher, temperature.
CASES = {
  'ordinary': (_normal(0), _normal(1), 1.0),
  'confident': (_normal(0, 30), _normal(1, 30), 3.0),
  'hot': (_normal(0, 3), _normal(1, 3), 1e4),
  'offset': (_normal(0, 3) + 100, _normal(1, 3) - 50, 3.0),
  'alike': (_normal(0, 3), _normal(0, 3) + _normal(1, 1e-5), 1.0),
  'alike, divided': (_normal(0, 3), _normal(0, 3) + _normal(1, 1e-3), 3.0),
  'alike and confident': (_confident(), _confident() + _normal(1, 1e-3), 1.0),
  'one sure': (_normal(0, 100), _normal(1), 1.0),
  'other sure': (_normal(0), _normal(1, 100), 1.0),
  'huge': (*_huge([-1e4, 0.0, 0.3, 1e4], 50), 1.0),
  'huge, few': (*_huge([-1e4, -1.0, 0.0, 0.5, 1.0, 1e4], 5), 4.0),
  'against one': (*_against_one(), 1.0),
}


def _exact(q_logits, p_logits, temperature):
  """Value and gradients, the gradients in units of their largest entry."""

  def log_softmax(logits):
    scores = logits.astype(np.longdouble) / temperature
    scores -= scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))

  log_p, log_q = log_softmax(p_logits), log_softmax(q_logits)
  p, q = np.exp(log_p), np.exp(log_q)
  ratio = log_q - log_p
  near = np.abs(ratio) < 1e-3
  small = np.where(near, ratio, 0)
  terms = np.where(
    near,
    p * (small**2 / 2 + small**3 / 6 + small**4 / 24),
    q - p - p * ratio,
  )
  value = terms.sum(axis=-1)
  moderate = np.where(np.abs(ratio) < 1, ratio, 0)
  by_q = np.where(np.abs(ratio) < 1, p * np.expm1(moderate), q - p)
  by_p = -p * (ratio + value[:, None])
  return value, by_q / temperature, by_p / temperature


@pytest.mark.parametrize('name', CASES)
def test_float32_keeps_its_digits(name):
  student, teacher, temperature = CASES[name]

  def losses(student, teacher):
    student, teacher, keep = log_space.pair(student, teacher)
    return log_space.softened_divergence(teacher, student, keep, temperature)

  value = jax.jit(losses)(student, teacher)
  by_student, by_teacher = jax.jit(
    jax.grad(lambda *logits: jnp.sum(losses(*logits)), (0, 1))
  )(student, teacher)
  exact, exact_student, exact_teacher = _exact(student, teacher, temperature)
  assert value.dtype == by_student.dtype == jnp.float32
  np.testing.assert_allclose(value, exact, rtol=2e-6, atol=1e-30)
  for found, right, tolerance in (
    (by_student, exact_student, 1e-5),
    (by_teacher, exact_teacher, 1e-3 if 'huge' in name else 1e-5),
  ):
    size = np.abs(right).max(axis=-1)
    # A gradient far below 1 may be 0 in float32.
    error = np.abs(np.asarray(found) - right).max(axis=-1) / np.maximum(
      size, 1e-5
    )
    assert error.max() < tolerance
