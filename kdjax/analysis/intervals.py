"""Confidence intervals of paired differences."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Gain(NamedTuple):
  """A mean difference between paired runs.

  Attributes:
    mean: Mean of the differences.
    ci95: Ends of the mean's 95 % confidence interval; None for a single pair,
      whose spread is unknown.
  """

  mean: float
  ci95: tuple[float, float] | None


def paired_gain(before: Sequence[float], after: Sequence[float]) -> Gain:
  """Returns the mean of `after - before` over pairs, with its t interval.

  Args:
    before: One value per pair, shape `[pairs]`.
    after: One value per pair, in the same order.

  Raises:
    ValueError: if the lengths differ or there is no pair.
  """
  if len(before) != len(after) or not len(before):
    raise ValueError(
      'before and after must be equally long and not empty, got '
      f'{len(before)} and {len(after)} values.'
    )
  differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
  count, mean = len(differences), float(differences.mean())
  if count == 1:
    return Gain(mean, None)
  error = float(differences.std(ddof=1)) / math.sqrt(count)
  half = float(stats.t.ppf(0.975, count - 1)) * error
  return Gain(mean, (mean - half, mean + half))
