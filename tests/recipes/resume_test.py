"""A distillation that stops goes on as if it had not."""

import signal

import jax
import numpy as np
import pytest
import small_experiments
from small_experiments import Observer

from kdjax import checkpoint, recipes, training

_CHANGES = {'method': 'fitnets', 'epochs': 4, 'hint_epochs': 2}


@pytest.fixture(scope='module')
def wired(wire):
  return wire(**_CHANGES)


@pytest.fixture(scope='module')
def uninterrupted(wired, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, small_experiments.distil(wired, workdir)


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _assert_same_result(one, other):
  _assert_equal(one.teacher.variables, other.teacher.variables)
  assert one.teacher.measures == other.teacher.measures
  for run in ('scratch', 'distilled'):
    first, second = getattr(one, run), getattr(other, run)
    _assert_equal(first.variables, second.variables)
    _assert_equal(first.measures, second.measures)


def test_interrupted_in_every_stage_gives_the_same_students(
  wired, uninterrupted, tmp_path
):
  heard, started = [], []
  for run, epoch, of in (
    ('teacher', 1, 2),
    ('scratch', 4, 4),  # its last epoch
    ('hint', 1, 2),
    ('distilled', 1, 2),
  ):
    listener = Observer(stop_after=(run, epoch))
    with pytest.raises(training.Interrupted) as caught:
      small_experiments.distil(wired, tmp_path, listener)
    assert caught.value.signal_number == signal.SIGTERM
    message = str(caught.value)
    assert f'epoch {epoch} of {of} of the {run} run' in message
    assert str(tmp_path) in message
    assert checkpoint.latest_step(tmp_path / 'checkpoints' / run) == epoch
    heard += listener.epochs
  listener = Observer()
  result = small_experiments.distil(wired, tmp_path, listener)
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


def test_a_finished_distillation_is_read_again(wired, uninterrupted):
  workdir, result = uninterrupted
  listener = Observer()
  again = small_experiments.distil(wired, workdir, listener)
  assert listener.epochs == []
  assert again.distilled.steps == 0
  _assert_same_result(again, result)
  assert recipes.summarise(again, 1.0)['distilled']['accuracy'] == [
    float(x) for x in result.distilled.measures['accuracy']
  ]


def test_checkpoints_come_every_few_epochs(
  wire, teacher_dir, tmp_path, monkeypatch
):
  saved = []

  def save(directory, step, *args, **kwargs):
    saved.append((directory.relative_to(tmp_path).as_posix(), step))
    return save_really(directory, step, *args, **kwargs)

  save_really = checkpoint.save
  monkeypatch.setattr(checkpoint, 'save', save)
  wired = wire(checkpoint_every=2, teacher_checkpoint=str(teacher_dir))
  small_experiments.distil(wired, tmp_path, scratch=False)
  assert saved == [
    ('teacher', 0),
    ('checkpoints/distilled', 2),
    ('distilled', 2),
  ]
