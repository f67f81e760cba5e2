"""--resume --extend: a finished run goes on for more epochs."""

import json
import pathlib
import sys

import pytest
import small_experiments
from absl import app, flags

from experiments import common, distill, extending
from kdjax.options import OptionError

_SMALL = (
  *('--teacher=mlp_student', '--seeds=1'),
  *('--schedule=constant', '--batch_size=120', '--ema=0.9'),
)


def _main(monkeypatch, *arguments):
  """Runs the binary in this process; returns its exit code."""
  monkeypatch.setattr(sys, 'argv', ['distill', *arguments])
  monkeypatch.setattr(app, 'usage', lambda *_, **__: None)
  try:
    with common.errors():
      distill.main(common.parse(sys.argv))
  except SystemExit as stop:
    return stop.code
  finally:
    for name in flags.FLAGS:
      flags.FLAGS[name].unparse()  # back to its default
  return 0


def _refused(monkeypatch, capsys, *arguments):
  capsys.readouterr()
  assert _main(monkeypatch, *arguments) == 2
  (line,) = capsys.readouterr().err.splitlines()
  return line


def _model(workdir, name):
  """Every parameter of the last saved model, read without kdjax."""
  import jax
  import orbax.checkpoint as ocp

  steps = [int(p.name) for p in (workdir / name).iterdir() if p.name.isdigit()]
  where = workdir / name / str(max(steps)) / 'tree'
  tree = ocp.StandardCheckpointer().restore(where)
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path): x.tobytes() for path, x in leaves}


def _read(workdir: pathlib.Path, name: str):
  return json.loads((workdir / name).read_text())


@pytest.fixture(scope='module')
def monkeypatch_module():
  with pytest.MonkeyPatch.context() as patch:
    yield patch


@pytest.fixture(scope='module')
def runs(tmp_path_factory, monkeypatch_module):
  """A run of two epochs that went on to four, and one of four at once.

  The teacher's epochs follow --epochs in a new run, and stay in an extension.
  """
  folder, patch = tmp_path_factory.mktemp('runs'), monkeypatch_module
  extended, fresh = folder / 'extended', folder / 'fresh'
  where = f'--workdir={extended}'
  assert _main(patch, *_SMALL, '--epochs=2', where) == 0
  short = _read(extended, 'summary.json')
  again = ('--epochs=4', where, '--resume', '--extend')
  assert _main(patch, *_SMALL, *again) == 0
  long = ('--epochs=4', '--teacher_epochs=2')
  assert _main(patch, *_SMALL, *long, f'--workdir={fresh}') == 0
  return extended, fresh, short


def test_with_a_constant_schedule_it_equals_a_longer_run(runs):
  extended, fresh, _ = runs
  for network in ('teacher', 'scratch', 'distilled'):
    assert _model(extended, network) == _model(fresh, network)
  lines = [
    sorted((path / 'metrics.jsonl').read_text().splitlines())
    for path in (extended, fresh)
  ]
  assert lines[0] == lines[1]


def test_settings_and_summaries_tell_of_it(runs):
  extended, fresh, short = runs
  settings = _read(extended, 'settings.json')
  assert settings.pop('extended_from') == 2
  assert settings == _read(fresh, 'settings.json')
  summary = _read(extended, 'summary.json')
  assert summary['extended_from'] == 2
  whole = _read(fresh, 'summary.json')
  assert summary['distilled']['accuracy'] == whole['distilled']['accuracy']
  assert summary['gain'] == whole['gain']
  assert 'extended_from' not in whole
  assert _read(extended, 'summary_2.json') == short


def test_what_cannot_go_on_is_refused(runs, monkeypatch, capsys):
  extended, _, _ = runs
  before = (extended / 'settings.json').read_text()
  go_on = (*_SMALL, f'--workdir={extended}', '--resume', '--extend')

  def refused(*arguments):
    return _refused(monkeypatch, capsys, *go_on, *arguments)

  assert '--epochs=3: must be at least 4' in refused('--epochs=3')
  line = refused('--epochs=6', '--learning_rate=0.1')
  assert 'learning_rate=0.05, not 0.1; leave out --learning_rate' in line
  line = _refused(
    monkeypatch, capsys, *_SMALL, '--epochs=6', '--extend', '--workdir=x'
  )
  assert '--extend=True: needs --resume' in line
  line = _refused(monkeypatch, capsys, *go_on[:-1], '--epochs=6')
  assert 'epochs=4, not 6; say --epochs=4' in line
  assert (extended / 'settings.json').read_text() == before


def test_the_same_command_again_changes_nothing(runs, monkeypatch, capsys):
  extended, _, _ = runs
  go_on = (*_SMALL, f'--workdir={extended}', '--resume', '--extend')
  before = {
    name: (extended / name).read_text()
    for name in ('settings.json', 'metrics.jsonl', 'summary_2.json')
  }
  assert _main(monkeypatch, *go_on, '--epochs=4') == 0
  assert before == {name: (extended / name).read_text() for name in before}
  assert _read(extended, 'summary.json')['extended_from'] == 2


@pytest.fixture
def extended(tmp_path):
  """Extends an imagined run; returns what `distill` would go on with."""

  def extend(saved, **changes):
    (tmp_path / 'settings.json').write_text(json.dumps(saved))
    wired = small_experiments.wire(seeds=1, teacher='mlp_student', **changes)
    return extending.extended(wired)

  common.parse(['distill', f'--workdir={tmp_path}', '--resume', '--extend'])
  yield extend
  for name in flags.FLAGS:
    flags.FLAGS[name].unparse()


def test_the_teacher_goes_on_where_more_is_asked(extended):
  found = extended({'epochs': 5}, epochs=5, teacher_epochs=7)
  assert (found.extended_from, found.teacher_epochs) == (5, 7)
  found = extended({'epochs': 5, 'teacher_epochs': 3}, epochs=6)
  assert (found.extended_from, found.teacher_epochs) == (5, 3)
  with pytest.raises(OptionError, match=r'^teacher_epochs=4: .*at least 5'):
    extended({'epochs': 5}, epochs=6, teacher_epochs=4)
  with pytest.raises(OptionError, match=r'^teacher_epochs=6: must stay 5'):
    extended(
      {'epochs': 5}, epochs=6, teacher_epochs=6, teacher_cache='memory_map'
    )


def test_default_epochs_can_go_on(extended):
  """Both made 1500 steps: 2 of the students' and 19 of the teacher's a pass."""
  found = extended({}, epochs=800)
  assert (found.extended_from, found.teacher_epochs) == (750, 79)
  with pytest.raises(OptionError, match=r'^epochs=749: .*at least 750'):
    extended({}, epochs=749)


def test_a_first_stage_cannot_grow(extended):
  saved = {'epochs': 4, 'method': 'fitnets'}
  with pytest.raises(OptionError, match=r'^hint_epochs=2: must stay 1: '):
    extended(saved, epochs=8, method='fitnets')
  found = extended(saved, epochs=8, method='fitnets', hint_epochs=1)
  assert found.extended_from == 4


def test_a_teacher_alone_goes_on(extended, tmp_path):
  """What `train_teacher` asks, over the flags that it shares with `distill`."""
  experiment = small_experiments.tiny().experiment
  (tmp_path / 'settings.json').write_text('{"teacher_epochs": 3}')

  def before(epochs):
    given = small_experiments.given(teacher_epochs=epochs)
    return extending.extended_teacher(given, experiment)

  assert [before(3), before(5)] == [None, 3]
  with pytest.raises(OptionError, match=r'^teacher_epochs=2: .*at least 3'):
    before(2)
