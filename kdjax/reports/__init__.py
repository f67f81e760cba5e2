"""Reports of an experiment: metrics, curves and tables."""

from kdjax.reports.curves import plot_curves
from kdjax.reports.extension import extend, read_settings
from kdjax.reports.recorder import Recorder, read_metrics
from kdjax.reports.summary import (
  gain,
  print_comparison,
  print_data,
  print_summary,
  shown,
  spread,
  verdict,
  write_summary,
)
from kdjax.reports.workdir import WorkdirError, claim

__all__ = [
  'Recorder',
  'WorkdirError',
  'claim',
  'extend',
  'gain',
  'plot_curves',
  'print_comparison',
  'print_data',
  'print_summary',
  'read_metrics',
  'read_settings',
  'shown',
  'spread',
  'verdict',
  'write_summary',
]


def __dir__() -> list[str]:
  return sorted(__all__)
