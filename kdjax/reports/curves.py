"""Learning curves as a picture."""

import pathlib

import numpy as np
from matplotlib import figure

from kdjax.reports.recorder import read_metrics

CURVES_FILE = 'curves.png'

_PANELS = (
  ('train_loss', 'training loss'),
  ('test_loss', 'test cross-entropy (nats)'),
  ('test_accuracy', 'test accuracy'),
)


def plot_curves(workdir: str | pathlib.Path) -> pathlib.Path:
  """Draws `curves.png` from `metrics.jsonl`.

  One panel a quantity, one line a run: the mean over seeds, with a band from
  the lowest to the highest seed. The teacher's losses stand apart from the
  students' by the loss, not the scale, so all runs share the axes.

  Returns:
    Where the picture is.
  """
  lines = read_metrics(workdir)
  runs = list(dict.fromkeys(line['run'] for line in lines))
  # The figure's own canvas, not pyplot: no display, no global state.
  picture = figure.Figure(figsize=(13, 4), layout='constrained')
  for axes, (name, label) in zip(
    picture.subplots(1, len(_PANELS)), _PANELS, strict=True
  ):
    for run in runs:
      epochs, values = _series([x for x in lines if x['run'] == run], name)
      progress = epochs / epochs[-1]
      (line,) = axes.plot(progress, values.mean(axis=0), label=run)
      axes.fill_between(
        progress,
        values.min(axis=0),
        values.max(axis=0),
        color=line.get_color(),
        alpha=0.2,
        linewidth=0,
      )
    axes.set_xlabel('fraction of the run')
    axes.set_title(label)
    axes.grid(alpha=0.3)
    if 'loss' in name:
      axes.set_yscale('log')
  picture.axes[-1].legend(loc='lower right')
  path = pathlib.Path(workdir) / CURVES_FILE
  picture.savefig(path, dpi=120)
  return path


def _series(lines: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
  """Epochs `[epochs]` and values `[seeds, epochs]` of one run."""
  seeds = sorted({line['seed'] for line in lines})
  values = [[x[name] for x in lines if x['seed'] == seed] for seed in seeds]
  epochs = [x['epoch'] for x in lines if x['seed'] == seeds[0]]
  return np.asarray(epochs, float), np.asarray(values, float)
