"""Means over a batch with padding, and errors that say what there is."""

import jax
import numpy as np
import pytest

from kdjax import transforms
from kdjax.transforms import base

_mean = jax.jit(jax.value_and_grad(base.batch_mean))


def test_batch_mean_without_weight():
  value, slope = _mean(np.float32([1, 2, 6]), {'label': np.zeros(3, int)})
  assert value == 3
  np.testing.assert_allclose(slope, [1 / 3] * 3, rtol=1e-6)


def test_batch_mean_averages_further_axes():
  losses = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
  value, _ = _mean(losses, {'weight': np.float32([2, 0])})
  assert value == pytest.approx(2.5)


@pytest.mark.parametrize('padding', [7.0, np.nan, np.inf])
def test_padding_has_no_part_in_value_or_gradient(padding):
  # Three examples in a batch of five: each weighs 5/3.
  losses = np.float32([1, padding, 2, 6, padding])
  weight = np.float32([1, 0, 1, 1, 0]) * np.float32(5 / 3)
  value, slope = _mean(losses, {'weight': weight})
  assert value == pytest.approx(3, rel=1e-6)
  np.testing.assert_allclose(slope, [1 / 3, 0, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_shares_of_devices_average_to_the_global_mean():
  losses = np.float32([1, 2, 6, 100, 100, 100])
  weight = np.float32([2, 2, 2, 0, 0, 0])
  shares = [
    _mean(losses[i : i + 2], {'weight': weight[i : i + 2]})[0]
    for i in (0, 2, 4)
  ]
  assert np.mean(shares) == pytest.approx(3, rel=1e-6)


def test_weights_follow_the_losses_to_float64():
  with jax.enable_x64(True):
    value, slope = _mean(np.array([1.0, 3.0]), {'weight': np.float32([2, 0])})
  assert value.dtype == slope.dtype == np.float64
  assert float(value) == 1


def test_unknown_tap_error_can_be_read_by_programs():
  error = transforms.UnknownTapError('stage9', 'teacher', ('stage1', 'stem'))
  assert (error.name, error.network) == ('stage9', 'teacher')
  assert error.known == ('stage1', 'stem')
  assert isinstance(error, ValueError)
