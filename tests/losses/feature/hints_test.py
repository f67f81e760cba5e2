"""Hints against loops, in the paper's form and in the mean of squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from references import losses as reference

from kdjax.losses import RefusedError, hint_loss

_FORMS = {
  False: reference.half_squared_norm,
  True: reference.mean_squared_error,
}
forms = pytest.mark.parametrize('mean_squared', [False, True])


def _features(seed, shape=(3, 4, 2, 5)):
  rng = np.random.RandomState(seed)
  return rng.randn(*shape), rng.randn(*shape)


@forms
@pytest.mark.parametrize(
  ('wrap', 'shape'),
  [
    (lambda f: f, (3, 4, 2, 5)),
    (jax.jit, (3, 4, 2, 5)),
    (jax.jit, (4, 7)),
    (jax.jit, (5,)),
  ],
)
def test_matches_loops(mean_squared, wrap, shape):
  student, teacher = _features(0, shape)
  with jax.enable_x64(True):
    loss = wrap(lambda s, t: hint_loss(s, t, mean_squared=mean_squared))
    result = loss(jnp.asarray(student), jnp.asarray(teacher))
  assert result.dtype == np.float64
  assert result.shape == shape[:1]
  expected = _FORMS[mean_squared](student, teacher)
  np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_by_hand():
  student = jnp.array([[1.0, 2.0], [0.0, 0.0]])
  teacher = jnp.array([[4.0, -2.0], [0.0, 1.0]])
  np.testing.assert_allclose(hint_loss(student, teacher), [12.5, 0.5])
  np.testing.assert_allclose(
    hint_loss(student, teacher, mean_squared=True), [12.5, 0.5]
  )
  wide = hint_loss(
    jnp.tile(student, (1, 3)), jnp.tile(teacher, (1, 3)), mean_squared=True
  )
  np.testing.assert_allclose(wide, [12.5, 0.5])


@forms
def test_gradient(mean_squared):
  student, teacher = _features(1, (3, 2, 4))
  with jax.enable_x64(True):

    @jax.jit
    def loss(s, t):
      return jnp.sum(hint_loss(s, t, mean_squared=mean_squared))

    arrays = jnp.asarray(student), jnp.asarray(teacher)
    check_grads(loss, arrays, order=1, modes=('rev',))
    slope = jax.grad(loss)(*arrays)
  expected = (student - teacher) * (2 / 8 if mean_squared else 1)
  np.testing.assert_allclose(slope, expected, rtol=1e-12)


@forms
def test_zero_at_the_teacher(mean_squared):
  student, _ = (jnp.asarray(x) for x in _features(2))
  value, slope = jax.jit(
    jax.value_and_grad(
      lambda s: jnp.sum(hint_loss(s, student, mean_squared=mean_squared))
    )
  )(student)
  assert value == 0
  assert (slope == 0).all()


@forms
def test_does_not_mix_examples(mean_squared):
  student, teacher = (jnp.asarray(x) for x in _features(3))
  losses = hint_loss(student, teacher, mean_squared=mean_squared)
  broken = hint_loss(
    student.at[0].set(jnp.nan), teacher, mean_squared=mean_squared
  )
  assert jnp.isnan(broken[0])
  np.testing.assert_array_equal(broken[1:], losses[1:])


@forms
@pytest.mark.parametrize(
  ('scale', 'offset'), [(1, 1e4), (1e4, 0), (1e-4, 0), (1e15, 0)]
)
def test_float32_is_close_to_float64(mean_squared, scale, offset):
  student, teacher = (
    np.float32(x * scale + offset) for x in _features(4, (3, 8, 8, 16))
  )
  result = hint_loss(
    jnp.asarray(student), jnp.asarray(teacher), mean_squared=mean_squared
  )
  assert result.dtype == np.float32
  expected = _FORMS[mean_squared](student, teacher)
  np.testing.assert_allclose(result, expected, rtol=1e-4)


@forms
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_half_precision_sums_in_float32(mean_squared, dtype):
  # Summing ones in bfloat16 stops at 256, in float16 at 2048.
  student, teacher = jnp.zeros((2, 5000), dtype), jnp.ones((2, 5000), dtype)
  loss = jax.jit(lambda s, t: hint_loss(s, t, mean_squared=mean_squared))
  result = loss(student, teacher)
  assert result.dtype == np.float32
  np.testing.assert_allclose(result, 1 if mean_squared else 2500)


def test_half_precision_subtracts_in_float32():
  student = jnp.full((1, 1), 1.0, jnp.bfloat16)
  teacher = jnp.full((1, 1), 257.0, jnp.float32)
  assert hint_loss(student, teacher) == 256**2 / 2


def test_float32_stays_so_under_x64():
  with jax.enable_x64(True):
    x = jnp.ones((2, 3), jnp.float32)
    assert hint_loss(x, x).dtype == np.float32


@pytest.mark.parametrize(
  ('student', 'teacher'),
  [
    (jnp.ones((2, 3)), jnp.ones((2, 4))),
    (jnp.ones((2, 3)), jnp.ones((1, 3))),
    (jnp.ones((2, 3)), jnp.ones((2, 3, 1))),
    (jnp.ones((2, 3), int), jnp.ones((2, 3))),
    (jnp.ones((2, 3)), jnp.ones((2, 3), bool)),
  ],
)
def test_wrong_arguments(student, teacher):
  with pytest.raises(RefusedError):
    hint_loss(student, teacher)
