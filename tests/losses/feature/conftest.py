"""What the tests of the feature losses share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def check():
  """Asserts the value of a loss of float64 arrays, under jit."""

  def check(loss, expected, *arrays, **keywords):
    with jax.enable_x64(True):
      arrays = jax.tree.map(jnp.asarray, arrays)
      value = jax.jit(lambda *arrays: loss(*arrays, **keywords))(*arrays)
      assert value.dtype == jnp.float64
      np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-13)

  return check


@pytest.fixture
def random_maps():
  """Normal float64 arrays of the given shapes."""

  def random_maps(*shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in shapes]

  return random_maps
