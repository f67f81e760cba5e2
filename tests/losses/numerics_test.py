"""The shared arithmetic: what it makes of zero, of NaN and of rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses import numerics


@pytest.mark.parametrize(
  ('given', 'result'),
  [
    (jnp.bfloat16, jnp.float32),
    (jnp.float16, jnp.float32),
    (jnp.float32, jnp.float32),
    (jnp.float64, jnp.float64),
  ],
)
def test_at_least_float32(given, result):
  with jax.enable_x64(True):
    assert numerics.at_least_float32(np.ones(2, given)).dtype == result


def test_safe_sqrt():
  x = jnp.array([4.0, 0.0, -1.0])
  np.testing.assert_allclose(numerics.safe_sqrt(x), [2.0, 0.0, 0.0])
  slopes = jax.vmap(jax.grad(numerics.safe_sqrt))(x)
  np.testing.assert_allclose(slopes, [0.25, 0.0, 0.0])


def test_safe_divide():
  above, below = jnp.array([6.0, 5.0, 0.0]), jnp.array([-3.0, 0.0, 0.0])
  np.testing.assert_allclose(numerics.safe_divide(above, below), [-2, 0, 0])
  slopes = jax.vmap(jax.grad(numerics.safe_divide, (0, 1)))(above, below)
  np.testing.assert_allclose(slopes[0], [-1 / 3, 0, 0], rtol=1e-6)
  np.testing.assert_allclose(slopes[1], [-6 / 9, 0, 0], rtol=1e-6)


@pytest.mark.parametrize('dtype', [bool, np.int32, np.float32])
def test_valid_rows(dtype):
  mask = jnp.array([1, 0, 1], dtype)
  valid = numerics.valid_rows(jnp.ones((3, 2)), mask)
  np.testing.assert_array_equal(valid, [True, False, True])
  assert valid.dtype == bool


def test_valid_rows_without_a_mask():
  assert numerics.valid_rows(jnp.ones((3, 2)), None).tolist() == [True] * 3


def test_valid_rows_refuses_another_length():
  with pytest.raises(AssertionError):
    numerics.valid_rows(jnp.ones((3, 2)), jnp.ones(2))


def test_centred_leaves_padding_out():
  x = jnp.array([[1.0, 10.0], [jnp.nan, jnp.inf], [3.0, 20.0]])
  result = numerics.centred(x, jnp.array([True, False, True]))
  np.testing.assert_allclose(result, [[-1, -5], [0, 0], [1, 5]])


def test_centred_without_a_valid_row():
  result = numerics.centred(jnp.full((2, 3), jnp.nan), jnp.zeros(2, bool))
  np.testing.assert_array_equal(result, np.zeros((2, 3)))


def test_gram_is_not_left_to_the_default_precision():
  # On a CPU every precision gives the same numbers, so the request is read.
  program = str(jax.make_jaxpr(numerics.gram)(jnp.ones((3, 2))))
  assert program.count('HIGHEST') >= 1
  np.testing.assert_allclose(
    numerics.gram(jnp.array([[1.0, 2.0], [3.0, -1.0]])), [[5, 1], [1, 10]]
  )


def test_squared_distances_by_hand():
  x = jnp.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
  result = numerics.squared_distances(numerics.gram(x))
  np.testing.assert_allclose(result, [[0, 25, 1], [25, 0, 18], [1, 18, 0]])


@pytest.mark.parametrize('dim', [3, 513])
@pytest.mark.parametrize('scale', [1e-8, 1e8])
def test_equal_rows_are_at_distance_zero(dim, scale):
  rng = np.random.RandomState(dim)
  rows = jnp.asarray(rng.randn(7, dim)[[0, 1, 2, 0, 3, 1, 0]] * scale)
  x = numerics.centred(rows, jnp.ones(7, bool))
  result = np.asarray(
    jax.jit(lambda x: numerics.squared_distances(numerics.gram(x)))(x)
  )
  equal = np.equal.outer([0, 1, 2, 0, 3, 1, 0], [0, 1, 2, 0, 3, 1, 0])
  assert (result[equal] == 0).all()
  assert (result[~equal] > 0).all()
