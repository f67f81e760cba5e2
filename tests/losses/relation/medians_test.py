"""The median of selected entries against NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses.relation import medians

_MEDIAN = jax.jit(jax.value_and_grad(medians.median))


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('size', [1, 2, 5, 8, 31])
def test_values_are_those_of_numpy(dtype, size):
  rng = np.random.default_rng(size)
  x = np.abs(rng.normal(size=(size, 3))).astype(dtype) * 1e3
  where = rng.random((size, 3)) < 0.7
  where[0, 0] = True
  with jax.enable_x64(dtype == np.float64):
    value, slope = map(np.asarray, _MEDIAN(x, where))
  assert value.dtype == dtype
  assert value == pytest.approx(np.median(x[where]), rel=1e-7)
  assert np.sum(slope) == pytest.approx(1, rel=1e-6)
  # Only a middle moves the median.
  middles = np.sort(x[where])[[(where.sum() - 1) // 2, where.sum() // 2]]
  np.testing.assert_array_equal(slope != 0, where & np.isin(x, middles))


def test_equal_entries_share_the_gradient():
  x = np.float32([0, 0, 2, 2, 2, 9])
  value, slope = _MEDIAN(x, np.ones(6, bool))
  assert value == 2
  np.testing.assert_allclose(slope, [0, 0, 1 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize('x', [[0, 0, 0], [0, 1e-40, 3e38], [0, 0, np.inf]])
def test_ends_of_the_range(x):
  x = np.float32(x)
  value, _ = _MEDIAN(x, np.ones(3, bool))
  # Numbers below the least normal one may count as zero.
  assert value == pytest.approx(np.median(x), abs=1e-37)


def test_nothing_selected_is_zero():
  value, slope = _MEDIAN(jnp.ones(3), np.zeros(3, bool))
  assert value == 0
  assert not np.any(slope)
