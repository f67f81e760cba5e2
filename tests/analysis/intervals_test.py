"""Paired gains against numbers worked out by hand."""

import numpy as np
import pytest

from kdjax import analysis


def test_five_pairs_by_hand():
  # Differences 1, 2, 3, 4, 5: mean 3, standard deviation sqrt(10 / 4); the
  # 0.975 quantile of Student's t with 4 degrees of freedom is 2.776445.
  before = [10.0, 11.0, 12.0, 13.0, 14.0]
  after = [11.0, 13.0, 15.0, 17.0, 19.0]
  gain = analysis.paired_gain(before, after)
  half = 2.776445 * np.sqrt(2.5) / np.sqrt(5)
  assert gain.mean == pytest.approx(3.0)
  assert gain.ci95 == pytest.approx((3.0 - half, 3.0 + half), rel=1e-6)


def test_two_pairs_by_hand():
  # Differences -0.02 and 0.04; the quantile for 1 degree of freedom is 12.7062.
  gain = analysis.paired_gain(np.array([0.9, 0.8]), np.array([0.88, 0.84]))
  half = 12.7062 * (0.06 / np.sqrt(2)) / np.sqrt(2)
  assert gain.mean == pytest.approx(0.01)
  assert gain.ci95 == pytest.approx((0.01 - half, 0.01 + half), rel=1e-5)


def test_equal_gains_leave_no_doubt():
  gain = analysis.paired_gain([0.5, 0.25, 0.75], [1.0, 0.75, 1.25])
  assert gain == analysis.Gain(0.5, (0.5, 0.5))


def test_one_pair_has_no_interval():
  assert analysis.paired_gain([0.5], [0.75]) == analysis.Gain(0.25, None)


def test_float32_values_are_averaged_in_float64():
  before = np.float32([0.1] * 5)
  after = np.float32([0.1, 0.2, 0.3, 0.4, 0.5])
  exact = np.mean(np.float64(after) - np.float64(before))
  assert analysis.paired_gain(before, after).mean == pytest.approx(
    exact, rel=1e-12
  )


@pytest.mark.parametrize(
  ('before', 'after', 'counts'),
  [([1.0], [1.0, 2.0], '1 and 2'), ([], [], '0 and 0'), ([1.0], [], '1 and 0')],
)
def test_pairs_must_match(before, after, counts):
  with pytest.raises(ValueError, match=f'before and after .* {counts} values'):
    analysis.paired_gain(before, after)
