import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import cka

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
  ('student_shape', 'teacher_shape'),
  [
    ((8, 2), (8, 3)),
    ((3, 2, 2, 3), (3, 7)),
  ],
)
def test_linear_is_the_formula_by_either_way(student_shape, teacher_shape):
  student, teacher = normal(0, *student_shape), normal(1, *teacher_shape)
  with jax.enable_x64(True):
    arguments = jnp.asarray(student), jnp.asarray(teacher)
    value = jax.jit(cka.linear_cka)(*arguments)
    loss = jax.jit(cka.linear_cka_loss)(*arguments)
  expected = reference.linear_cka(student, teacher)
  np.testing.assert_allclose(value, expected, rtol=1e-9)
  np.testing.assert_allclose(loss, 1 - expected, rtol=1e-9, atol=1e-15)


def test_either_way_is_as_large_as_it_must_be():
  def largest(examples, dim):
    x = jnp.zeros((examples, dim))
    jaxpr = jax.make_jaxpr(cka.linear_cka)(x, x)
    return max(v.aval.size for e in jaxpr.eqns for v in e.outvars)

  assert largest(64, 4) == 64 * 4
  assert largest(4, 64) == 64 * 4


@pytest.mark.parametrize('bandwidth', [0.5, 1.0])
@pytest.mark.parametrize('examples', [5, 6])
def test_rbf_is_the_formula(examples, bandwidth):
  student, teacher = normal(2, examples, 3), normal(3, examples, 2, 2)
  with jax.enable_x64(True):
    arguments = jnp.asarray(student), jnp.asarray(teacher)
    value = jax.jit(cka.rbf_cka)(*arguments, bandwidth=bandwidth)
    loss = jax.jit(cka.rbf_cka_loss)(*arguments, bandwidth=bandwidth)
  expected = reference.rbf_cka(student, teacher, bandwidth)
  np.testing.assert_allclose(value, expected, rtol=1e-9)
  np.testing.assert_allclose(loss, 1 - expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize('measure', [cka.linear_cka, cka.rbf_cka])
def test_measure_is_one_for_itself_and_symmetric(measure):
  measure = jax.jit(measure)
  x, y = np.float32(normal(4, 2, 5, 3))
  assert 1 - 1e-6 < measure(x, 10 * x + 3) <= 1
  assert 0 <= measure(x, y) < 1
  np.testing.assert_allclose(measure(x, y), measure(y, x), rtol=1e-6)


@pytest.mark.parametrize(
  ('measure', 'loss'),
  [(cka.linear_cka, cka.linear_cka_loss), (cka.rbf_cka, cka.rbf_cka_loss)],
)
def test_nothing_to_learn(measure, loss):
  """Not the alignment of what rounding leaves of equal rows."""
  measure, loss = jax.jit(measure), jax.jit(loss)
  x, same = np.float32(normal(6, 3, 4)), np.full((3, 4), 0.1, np.float32)
  assert measure(same, x) == measure(x, same) == 0
  assert loss(same, x) == 1
  assert loss(x, same) == loss(same, same) == 0
  assert loss(x[:1], x[1:2]) == 0


def test_rbf_of_mostly_coincident_examples():
  x = np.zeros((5, 2), np.float32)
  x[0] = 1
  y = np.float32(normal(7, 5, 2))
  value, gradient = jax.jit(jax.value_and_grad(cka.rbf_cka_loss))(x, y)
  assert 0 < value < 1
  np.testing.assert_array_equal(gradient, 0)
