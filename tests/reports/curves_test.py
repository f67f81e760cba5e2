"""The picture of the learning curves."""

import json

import matplotlib.image
import numpy as np
import pytest

from kdjax import reports


def _write(tmp_path, *, runs=('teacher', 'scratch'), epochs=5):
  random = np.random.default_rng(0)
  lines = [
    {
      'run': run,
      'seed': seed,
      'epoch': epoch,
      'train_loss': 2.0 / epoch + random.uniform(0, 0.1),
      'train_accuracy': 0.5,
      'test_loss': 2.5 / epoch + random.uniform(0, 0.1),
      'test_accuracy': 1 - 0.5 / epoch,
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
