"""What an experiment shows and leaves behind: lines, curves, a table."""

from kdjax.reports.curves import plot_curves
from kdjax.reports.recorder import Recorder, read_metrics
from kdjax.reports.summary import (
  accuracies,
  gain,
  print_summary,
  verdict,
  write_summary,
)
from kdjax.reports.workdir import WorkdirError, claim

__all__ = [
  'Recorder',
  'WorkdirError',
  'accuracies',
  'claim',
  'gain',
  'plot_curves',
  'print_summary',
  'read_metrics',
  'verdict',
  'write_summary',
]
