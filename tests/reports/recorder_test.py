"""The lines of `metrics.jsonl`, through restarts and cut-short writes."""

import io
import json

import numpy as np
import pytest
from rich import console

from kdjax import reports


@pytest.fixture
def output():
  return console.Console(file=io.StringIO(), width=120)


def _values(*numbers):
  return {'accuracy': np.array(numbers) / 10, 'loss': np.array(numbers)}


def _tell(recorder, run, epoch, seeds=(3, 4)):
  recorder.epoch(
    run, epoch, seeds, _values(1.0 + epoch, 2.0 + epoch), _values(3.0, 4.0)
  )


def _epochs(tmp_path):
  return [
    (line['run'], line['seed'], line['epoch'])
    for line in reports.read_metrics(tmp_path)
  ]


def test_a_line_per_seed_and_epoch(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 2, 0)
    _tell(recorder, 'scratch', 1)
    _tell(recorder, 'scratch', 2)
  text = (tmp_path / 'metrics.jsonl').read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  assert text.endswith('\n')
  assert lines == reports.read_metrics(tmp_path)
  assert lines[1] == {
    'run': 'scratch',
    'seed': 4,
    'epoch': 1,
    'train_loss': 3.0,
    'train_accuracy': pytest.approx(0.3),
    'test_loss': 4.0,
    'test_accuracy': 0.4,
  }
  assert _epochs(tmp_path) == [
    ('scratch', seed, epoch) for epoch in (1, 2) for seed in (3, 4)
  ]


def test_lines_are_on_disk_before_the_run_ends(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 2, 0)
    _tell(recorder, 'scratch', 1)
    assert len(reports.read_metrics(tmp_path)) == 2


def test_the_bar_shows_run_and_values(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('distilled', 7, 0)
    _tell(recorder, 'distilled', 1)
  text = output.file.getvalue()
  assert 'distilled' in text
  assert '1/7' in text
  assert 'loss 2.5000' in text
  assert 'test accuracy 0.3500' in text


@pytest.mark.parametrize('name', ['macro_f1', 'loss', 'class_accuracy/3'])
def test_the_bar_shows_the_tasks_first_measure(tmp_path, output, name):
  test = {name: np.array([0.25, 0.75]), 'accuracy': np.array([0.1, 0.1])}
  train = {'loss': np.array([1.0, 2.0])}
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('distilled', 7, 0)
    recorder.epoch('distilled', 1, (3, 4), train, test)
  text = output.file.getvalue()
  assert f'loss 1.5000  test {name} 0.5000' in text
  assert 'accuracy 0.1' not in text
  assert [
    (line[f'test_{name}'], line['test_accuracy'])
    for line in reports.read_metrics(tmp_path)
  ] == [(0.25, 0.1), (0.75, 0.1)]


def test_a_resumed_run_drops_the_epochs_it_does_again(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('teacher', 3, 0)
    for epoch in (1, 2, 3):
      _tell(recorder, 'teacher', epoch, seeds=(0,))
    recorder.start('scratch', 9, 0)
    for epoch in (1, 2, 3):
      _tell(recorder, 'scratch', epoch)
  before = _epochs(tmp_path)
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('teacher', 3, 3)
    assert _epochs(tmp_path) == before
    recorder.start('scratch', 9, 2)
    expected = [x for x in before if x[0] == 'teacher' or x[2] <= 2]
    assert _epochs(tmp_path) == expected
    _tell(recorder, 'scratch', 3)
  assert sorted(_epochs(tmp_path)) == sorted(before)


def test_a_run_begun_anew_forgets_all_of_it(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 2, 0)
    _tell(recorder, 'scratch', 1)
    recorder.start('scratch', 2, 0)
  assert _epochs(tmp_path) == []


@pytest.mark.parametrize('cut', [1, 20, 80])
def test_a_last_line_cut_short_is_dropped(tmp_path, output, cut):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 3, 0)
    _tell(recorder, 'scratch', 1)
    _tell(recorder, 'scratch', 2)
  path = tmp_path / 'metrics.jsonl'
  path.write_text(path.read_text()[: -1 - cut])
  assert len(reports.read_metrics(tmp_path)) == 3
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 3, 1)
    _tell(recorder, 'scratch', 2)
  assert [x[1:] for x in _epochs(tmp_path)] == [(3, 1), (4, 1), (3, 2), (4, 2)]


def test_no_file_no_lines(tmp_path):
  assert reports.read_metrics(tmp_path) == []


def test_nothing_temporary_remains(tmp_path, output):
  with reports.Recorder(tmp_path, output) as recorder:
    recorder.start('scratch', 1, 0)
    _tell(recorder, 'scratch', 1)
  assert [path.name for path in tmp_path.iterdir()] == ['metrics.jsonl']


def test_lines_of_shared_runs_are_copied_once(tmp_path):
  source, target = tmp_path / 'source', tmp_path / 'target'
  for place, lines in (
    (source, [{'run': 'a/scratch', 'x': 1}, {'run': 'teacher', 'x': 2}]),
    (target, [{'run': 'distilled', 'x': 3}]),
  ):
    place.mkdir()
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (place / 'metrics.jsonl').write_text(text)
  for _ in range(2):
    reports.copy_metrics(source, target, {'a/scratch': 'scratch'})
    assert reports.read_metrics(target) == [
      {'run': 'scratch', 'x': 1},
      {'run': 'distilled', 'x': 3},
    ]
