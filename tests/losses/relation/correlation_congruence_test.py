import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import correlation_congruence as cc

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize('examples', [1, 5])
def test_neighbours(examples):
  student, teacher = normal(0, examples, 3), normal(1, examples, 3)
  with jax.enable_x64(True):
    loss = jax.jit(cc.correlation_congruence_loss)(
      jnp.asarray(student), jnp.asarray(teacher)
    )
  expected = reference.correlation_congruence_loss(student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-9)


def test_neighbours_depend_on_the_order():
  student, teacher = jnp.zeros((3, 1)), jnp.array([[1.0], [2.0], [4.0]])
  order = jnp.array([1, 0, 2])
  loss = cc.correlation_congruence_loss(student, teacher)
  np.testing.assert_allclose(loss, (1 * 2 + 2 * 4) / 2)
  loss = cc.correlation_congruence_loss(student[order], teacher[order])
  np.testing.assert_allclose(loss, (2 * 1 + 1 * 4) / 2)


@pytest.mark.parametrize(
  'hyperparameters',
  [
    {},
    {'gamma': 0.9, 'max_p': 4},
    {'squared': False, 'max_p': 1},
    {'normalise': False, 'squared': False},
  ],
)
def test_kernel_is_the_papers_formula(hyperparameters):
  student, teacher = normal(2, 4, 3), normal(3, 4, 5)
  with jax.enable_x64(True):
    loss = jax.jit(
      functools.partial(
        cc.kernel_correlation_congruence_loss, **hyperparameters
      )
    )(jnp.asarray(student), jnp.asarray(teacher))
  expected = reference.kernel_correlation_congruence_loss(
    student, teacher, **hyperparameters
  )
  np.testing.assert_allclose(loss, expected, rtol=1e-9)


def test_series_nears_the_gaussian():
  unit = [
    x / np.linalg.norm(x, axis=1, keepdims=True) for x in normal(4, 2, 5, 3)
  ]
  kernels = [
    np.exp(-0.4 * np.square(x[:, None] - x[None]).sum(axis=-1)) for x in unit
  ]
  with jax.enable_x64(True):
    loss = cc.kernel_correlation_congruence_loss(
      jnp.asarray(unit[0]), jnp.asarray(unit[1]), gamma=0.4, max_p=20
    )
  expected = np.square(kernels[0] - kernels[1]).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-9)


def test_root_has_a_gradient_at_the_teacher():
  x = jnp.asarray(normal(5, 4, 3), jnp.float32)
  root = functools.partial(cc.kernel_correlation_congruence_loss, squared=False)
  gradient = jax.jit(jax.grad(root))(x, x)
  np.testing.assert_array_equal(gradient, 0)
