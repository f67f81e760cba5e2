"""The picture of the learning curves."""

import json

import matplotlib.image
import numpy as np
import pytest
from matplotlib import figure

from kdjax import reports


def _write(tmp_path, *, runs=('teacher', 'scratch'), epochs=5, more=()):
  random = np.random.default_rng(0)
  lines = [
    {
      'run': run,
      'seed': seed,
      'epoch': epoch,
      'train_loss': 2.0 / epoch + random.uniform(0, 0.1),
      'train_accuracy': 0.5,
      'test_accuracy': 1 - 0.5 / epoch,
      'test_loss': 2.5 / epoch + random.uniform(0, 0.1),
      **{f'test_{name}': 0.3 / epoch + 0.1 * seed for name in more},
    }
    for run in runs
    for epoch in range(1, epochs + 1)
    for seed in ((0,) if run == 'teacher' else (0, 1, 2))
  ]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (tmp_path / 'metrics.jsonl').write_text(text)


def test_a_picture_with_colours_is_written(tmp_path):
  _write(tmp_path, runs=('teacher', 'scratch', 'distilled'))
  path = reports.plot_curves(tmp_path)
  assert path == tmp_path / 'curves.png'
  content = path.read_bytes()
  assert content.startswith(b'\x89PNG\r\n\x1a\n')
  assert 10_000 < len(content) < 1_000_000
  pixels = matplotlib.image.imread(path)
  height, width = pixels.shape[:2]
  assert width > 2 * height > 600
  # Three panels: each third of the picture holds lines in colour.
  spread = pixels[..., :3].max(axis=-1) - pixels[..., :3].min(axis=-1)
  for third in np.array_split(spread > 0.3, 3, axis=1):
    assert third.sum() > 200


def test_more_runs_draw_more(tmp_path):
  counts = []
  for runs in (('scratch',), ('scratch', 'distilled')):
    _write(tmp_path, runs=runs)
    counts.append(len(reports.plot_curves(tmp_path).read_bytes()))
  assert counts[1] > counts[0]


@pytest.mark.parametrize('epochs', [1, 2])
def test_short_runs_can_be_drawn(tmp_path, epochs):
  _write(tmp_path, epochs=epochs)
  assert reports.plot_curves(tmp_path).stat().st_size > 5_000


def test_a_loss_of_zero_can_be_drawn(tmp_path):
  _write(tmp_path)
  lines = reports.read_metrics(tmp_path)
  lines[-1]['train_loss'] = 0.0
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (tmp_path / 'metrics.jsonl').write_text(text)
  assert reports.plot_curves(tmp_path).stat().st_size > 5_000


@pytest.fixture
def drawn(monkeypatch):
  """The pictures, before they are written."""
  pictures, save = [], figure.Figure.savefig

  def noted(picture, *args, **kwargs):
    pictures.append(picture)
    return save(picture, *args, **kwargs)

  monkeypatch.setattr(figure.Figure, 'savefig', noted)
  return pictures


def test_every_measure_has_a_panel(tmp_path, drawn):
  more = ('macro_f1', 'ece', 'class_accuracy/0', 'class_accuracy/1')
  _write(tmp_path, more=more)
  reports.plot_curves(tmp_path)
  (picture,) = drawn
  assert [axes.get_title() for axes in picture.axes] == [
    'training loss',
    'test cross-entropy (nats)',
    'test accuracy',
    'test macro f1',
    'test ece',
  ]
  assert [axes.get_yscale() for axes in picture.axes] == [
    *('log', 'log'),
    *('linear', 'linear', 'linear'),
  ]
  for axes in picture.axes:
    assert [line.get_label() for line in axes.lines] == ['teacher', 'scratch']
  # Seeds 0, 1 and 2: the mean of what they add is 0.1.
  error = picture.axes[-1].lines[1].get_ydata()
  np.testing.assert_allclose(error, 0.3 / np.arange(1, 6) + 0.1)
  assert picture.axes[-1].get_legend() is not None


def test_a_task_without_classes_has_panels_of_its_own(tmp_path, drawn):
  _write(tmp_path, more=('error',))
  lines = reports.read_metrics(tmp_path)
  names = ('run', 'seed', 'epoch', 'train_loss', 'test_error')
  text = ''.join(
    json.dumps({x: line[x] for x in names}) + '\n' for line in lines
  )
  (tmp_path / 'metrics.jsonl').write_text(text)
  reports.plot_curves(tmp_path)
  (picture,) = drawn
  titles = [axes.get_title() for axes in picture.axes]
  assert titles == ['training loss', 'test error']
