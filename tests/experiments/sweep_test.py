"""A sweep: what cells share, what fails, and how it goes on after a stop."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import compiling
import jax
import pytest
import small_experiments
from absl import flags
from jax.experimental.compilation_cache import compilation_cache as cache

from experiments import cells, distill, grid, wiring
from kdjax import recipes, reports, training

assert distill  # defines the flags

_ROOT = pathlib.Path(__file__).parents[2]
_BUDGET = {
  'teacher': 'mlp_student',
  'epochs': 2,
  'teacher_epochs': 2,
  'seeds': 2,
}
_GRID = 'learning_rate=1e30,0.05;alpha=0.1,0.5'
_GOOD = ['learning_rate=0.05,alpha=0.1', 'learning_rate=0.05,alpha=0.5']


@pytest.fixture(autouse=True, scope='module')
def set_flags():
  """Sets the flags of a small budget."""
  flags.FLAGS(['sweep', *(f'--{k}={v}' for k, v in _BUDGET.items())])
  yield
  for name in flags.FLAGS:
    flags.FLAGS[name].unparse()


@pytest.fixture(autouse=True, scope='module')
def compilation_cache(tmp_path_factory):
  """The tests train the same students; most time is compilation."""
  options = {
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('cache')),
    'jax_persistent_cache_min_compile_time_secs': 0.05,
    'jax_disable_most_optimizations': True,
  }
  before = {name: jax.config.values[name] for name in options}
  for name, value in options.items():
    jax.config.update(name, value)
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  cache.reset_cache()


def _noting(patch, stop=None, after=None):
  """Notes the runs that begin; may ask to stop after an epoch of a cell."""
  seen = []

  class Recorder(small_experiments.Observer):
    def __init__(self, workdir):
      super().__init__()
      self.place = pathlib.Path(workdir).name

    def __enter__(self):
      return self

    def __exit__(self, *_):
      seen.extend((self.place, *x) for x in self.started)

    def epoch(self, run, epoch, *values):
      if (self.place, run, epoch) == after:
        stop.number = signal.SIGTERM

  patch.setattr(reports, 'Recorder', Recorder)
  patch.setattr(reports, 'plot_curves', lambda workdir: None)
  return seen


def _run(text, workdir, stop=None):
  asked = grid.cells(grid.parse(text))
  stop = stop or small_experiments.Observer()
  cells.run(asked, workdir, wiring.Opened(), stop)
  return cells.read(asked, workdir)


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  """Four cells, of which two diverge; what ran, and what they found."""
  workdir = tmp_path_factory.mktemp('sweep') / 'swept'
  with pytest.MonkeyPatch.context() as patch:
    seen = _noting(patch)
    return workdir, seen, _run(_GRID, workdir)


def test_teacher_and_students_from_scratch_train_once(swept):
  _, seen, _ = swept
  assert seen == [
    ('swept', 'teacher', 2, 0),
    # It diverges, so its cells do not begin.
    ('swept', 'learning_rate=1e30/scratch', 2, 0),
    ('swept', 'learning_rate=0.05/scratch', 2, 0),
    (_GOOD[0], 'distilled', 2, 0),
    (_GOOD[1], 'distilled', 2, 0),
  ]


def test_failed_cells_have_reasons_and_others_go_on(swept):
  workdir, _, entries = swept
  failed = [entry for entry in entries if entry.failed]
  assert [x.name for x in entries if not x.failed] == _GOOD
  assert len(failed) == 2
  for entry in failed:
    assert 'labels became' in entry.failed
    place = workdir / 'cells' / entry.name
    reason = json.loads((place / 'failed.json').read_text())['reason']
    assert reason == entry.failed
    assert not (place / 'summary.json').exists()


def test_a_cell_is_what_distill_finds(swept, tmp_path):
  workdir, _, _ = swept
  wired = small_experiments.tiny(alpha=0.5)
  alone = recipes.summarise(small_experiments.distil(wired, tmp_path), 1.0)
  place = workdir / 'cells' / _GOOD[1]
  summary = json.loads((place / 'summary.json').read_text())
  for name in ('dataset', 'method', 'seeds', 'gain', 'measures'):
    assert summary[name] == alone[name], name
  assert summary['settings']['alpha'] == 0.5
  assert summary['settings']['learning_rate'] == 0.05
  settings = json.loads((place / 'settings.json').read_text())
  assert settings == {'program': 'sweep', **summary['settings']}


def test_a_stopped_sweep_goes_on_with_the_cell_it_stopped_in(
  swept, tmp_path, monkeypatch
):
  workdir, stop = tmp_path / 'stopped', small_experiments.Observer()
  text = 'alpha=0.1,0.5'
  after = ('alpha=0.5', 'distilled', 1)
  first = _noting(monkeypatch, stop, after)
  with pytest.raises(training.Interrupted) as caught:
    _run(text, workdir, stop)
  assert caught.value.signal_number == signal.SIGTERM
  assert f'cell alpha=0.5; continue with --resume --workdir={workdir}' in str(
    caught.value
  )
  assert [(place, run) for place, run, _, _ in first] == [
    ('stopped', 'teacher'),
    ('stopped', 'scratch'),
    ('alpha=0.1', 'distilled'),
    ('alpha=0.5', 'distilled'),
  ]
  then = _noting(monkeypatch)
  entries = _run(text, workdir)
  assert then == [
    ('stopped', 'teacher', 2, 2),
    ('stopped', 'scratch', 2, 2),
    ('alpha=0.5', 'distilled', 2, 1),
  ]
  _, _, whole = swept
  for entry, right in zip(entries, whole[2:], strict=True):
    assert entry.measures == right.measures


def test_every_cell_is_checked_before_one_runs():
  asked = grid.cells(grid.parse('alpha=0.1;method=kd,fitnets;hint_epochs=2'))
  with pytest.raises(ValueError, match='hint_epochs') as caught:
    cells.check(asked, wiring.Opened())
  assert str(caught.value).startswith(
    'grid=alpha=0.1,method=fitnets,hint_epochs=2: '
  )


def test_from_flags_to_table(tmp_path):
  workdir = tmp_path / 'run'
  budget = [f'--{k}={v}' for k, v in {**_BUDGET, 'epochs': 1}.items()]
  result = subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.sweep', *budget, '--seeds=1'),
      *('--grid=student=mlp_student;learning_rate=0.05,1e30',),
      *('--schedule=constant', f'--workdir={workdir}'),
      *('--teacher_cache=memory_map',),
    ],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': compiling.LITTLE_OPTIMISED},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert result.returncode == 1, result.stderr
  (line,) = result.stderr.splitlines()
  assert line == 'error: 1 of 2 cells failed'
  table = json.loads((workdir / 'table.json').read_text())
  good, bad = table['cells']
  assert good['failed'] is None
  assert bad['failed'] in result.stdout.replace('\n', ' ')
  assert (workdir / 'table.png').stat().st_size
  assert '| failed |' in (workdir / 'table.md').read_text()
  assert (workdir / 'teacher_cache').is_dir()
  place = workdir / 'cells' / good['name']
  assert not (place / 'teacher_cache').exists()
  assert (place / 'curves.png').stat().st_size
  runs = [line['run'] for line in reports.read_metrics(place)]
  assert runs == ['teacher'] * 2 + ['scratch', 'distilled']
