"""Learning curves as a picture."""

import pathlib

import numpy as np
from matplotlib import figure

from kdjax.reports.recorder import read_metrics

CURVES_FILE = 'curves.png'

_TITLES = {
  'train_loss': 'training loss',
  'test_loss': 'test cross-entropy (nats)',
}


def plot_curves(workdir: str | pathlib.Path) -> pathlib.Path:
  """Draws `curves.png` from `metrics.jsonl`.

  The training loss and each measure have a panel. Each run has a line: the mean
  over seeds, with a band from the lowest to the highest seed. Measures of
  several values (`class_accuracy/3`) have no panel.

  Returns:
    Path of the picture.
  """
  lines = read_metrics(workdir)
  runs = list(dict.fromkeys(line['run'] for line in lines))
  panels = ['train_loss', *_measures(lines)]
  # Unlike pyplot, a figure's own canvas needs no display and no global state.
  size = (13 * len(panels) / 3, 4)
  picture = figure.Figure(figsize=size, layout='constrained')
  for axes, name in zip(picture.subplots(1, len(panels)), panels, strict=True):
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
    axes.set_title(_TITLES.get(name, name.replace('_', ' ')))
    axes.grid(alpha=0.3)
    if 'loss' in name:
      axes.set_yscale('log')
  picture.axes[-1].legend(loc='lower right')
  path = pathlib.Path(workdir) / CURVES_FILE
  picture.savefig(path, dpi=120)
  return path


def _measures(lines: list[dict]) -> list[str]:
  """Returns the names of the measures on the test set, the loss first."""
  names = [
    name
    for name in (lines[0] if lines else {})
    if name.startswith('test_') and '/' not in name
  ]
  return sorted(names, key=lambda name: name != 'test_loss')


def _series(lines: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns epochs `[epochs]` and values `[seeds, epochs]` of one run."""
  seeds = sorted({line['seed'] for line in lines})
  values = [[x[name] for x in lines if x['seed'] == seed] for seed in seeds]
  epochs = [x['epoch'] for x in lines if x['seed'] == seeds[0]]
  return np.asarray(epochs, float), np.asarray(values, float)
