"""Reports of an experiment: metrics, curves and tables."""

from kdjax.reports.curves import plot_curves
from kdjax.reports.entry import Entry, differing, entries, gain_over
from kdjax.reports.extension import extend
from kdjax.reports.grid import AxisError, arrange, tabulate
from kdjax.reports.heat_map import plot_grid
from kdjax.reports.recorder import Recorder, copy_metrics, read_metrics
from kdjax.reports.summary import (
  difference,
  gain,
  print_comparison,
  print_data,
  print_summary,
  read_summary,
  shown,
  spread,
  verdict,
  write_summary,
)
from kdjax.reports.tables import markdown, print_grid, write_grid
from kdjax.reports.workdir import (
  WorkdirError,
  claim,
  read_failure,
  read_settings,
  write_failure,
)

__all__ = [
  'AxisError',
  'Entry',
  'Recorder',
  'WorkdirError',
  'arrange',
  'claim',
  'copy_metrics',
  'difference',
  'differing',
  'entries',
  'extend',
  'gain',
  'gain_over',
  'markdown',
  'plot_curves',
  'plot_grid',
  'print_comparison',
  'print_data',
  'print_grid',
  'print_summary',
  'read_failure',
  'read_metrics',
  'read_settings',
  'read_summary',
  'shown',
  'spread',
  'tabulate',
  'verdict',
  'write_failure',
  'write_grid',
  'write_summary',
]


def __dir__() -> list[str]:
  return sorted(__all__)
