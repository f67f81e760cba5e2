"""Statistics of a comparison."""

from kdjax.analysis.intervals import Gain, paired_gain

__all__ = ['Gain', 'paired_gain']


def __dir__() -> list[str]:
  return sorted(__all__)
