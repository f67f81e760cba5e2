"""A distillation that stops goes on as if it had not."""

import signal

import jax
import numpy as np
import pytest

from kdjax import checkpoint, recipes, training

_CHANGES = {'method': 'fitnets', 'epochs': 4, 'hint_epochs': 2}


@pytest.fixture(scope='module')
def experiment(make_settings):
  return recipes.prepare(make_settings(**_CHANGES))


@pytest.fixture(scope='module')
def uninterrupted(experiment, observer, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, recipes.distill(experiment, workdir, observer())


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _assert_same_result(one, other):
  _assert_equal(one.teacher.variables, other.teacher.variables)
  assert one.teacher.accuracy == other.teacher.accuracy
  for run in ('scratch', 'distilled'):
    first, second = getattr(one, run), getattr(other, run)
    _assert_equal(first.variables, second.variables)
    np.testing.assert_array_equal(first.accuracy, second.accuracy)


def test_interrupted_in_every_stage_gives_the_same_students(
  experiment, uninterrupted, observer, tmp_path
):
  heard, started = [], []
  for run, epoch, of in (
    ('teacher', 1, 2),
    ('scratch', 4, 4),  # its last epoch
    ('hint', 1, 2),
    ('distilled', 1, 2),
  ):
    listener = observer(stop_after=(run, epoch))
    with pytest.raises(training.Interrupted) as caught:
      recipes.distill(experiment, tmp_path, listener, listener)
    assert caught.value.signal_number == signal.SIGTERM
    message = str(caught.value)
    assert f'epoch {epoch} of {of} of the {run} run' in message
    assert str(tmp_path) in message
    assert checkpoint.latest_step(tmp_path / 'checkpoints' / run) == epoch
    heard += listener.epochs
  listener = observer()
  result = recipes.distill(experiment, tmp_path, listener, listener)
  heard, started = heard + listener.epochs, listener.started
  assert started == [
    ('teacher', 2, 2),
    ('scratch', 4, 4),
    ('hint', 2, 2),
    ('distilled', 2, 1),
  ]
  # No epoch twice, none left out.
  assert heard == [
    (run, epoch)
    for run, epochs in (
      ('teacher', 2),
      ('scratch', 4),
      ('hint', 2),
      ('distilled', 2),
    )
    for epoch in range(1, epochs + 1)
  ]
  _assert_same_result(result, uninterrupted[1])


def test_a_finished_distillation_is_read_again(
  experiment, uninterrupted, observer
):
  workdir, result = uninterrupted
  listener = observer()
  again = recipes.distill(experiment, workdir, listener)
  assert listener.epochs == []
  assert again.distilled.steps == 0
  _assert_same_result(again, result)
  assert recipes.summarise(again, 1.0)['distilled']['accuracy'] == [
    float(x) for x in result.distilled.accuracy
  ]


def test_checkpoints_come_every_few_epochs(
  make_settings, teacher_dir, observer, tmp_path, monkeypatch
):
  saved = []

  def save(directory, step, *args, **kwargs):
    saved.append((directory.relative_to(tmp_path).as_posix(), step))
    return save_really(directory, step, *args, **kwargs)

  save_really = checkpoint.save
  monkeypatch.setattr(checkpoint, 'save', save)
  settings = make_settings(
    scratch=False,
    checkpoint_every=2,
    teacher_checkpoint=str(teacher_dir),
  )
  recipes.distill(recipes.prepare(settings), tmp_path, observer())
  assert saved == [
    ('teacher', 0),
    ('checkpoints/distilled', 2),
    ('distilled', 2),
  ]
