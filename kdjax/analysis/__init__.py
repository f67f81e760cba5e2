"""What the numbers of a comparison say."""

from kdjax.analysis.intervals import Gain, paired_gain

__all__ = ['Gain', 'paired_gain']


def __dir__() -> list[str]:
  return sorted(__all__)
