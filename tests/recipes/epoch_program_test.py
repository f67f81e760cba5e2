"""Which form an epoch takes, and how many batches the teacher answers."""

import jax
import numpy as np
import optax
import pytest

from kdjax import recipes, training
from kdjax.recipes import compiled, preparation, programs, run


@pytest.mark.parametrize('method', ['kd', 'fitnets', 'crd'])
def test_a_teacher_ahead_changes_no_result(distilled, method):
  """Epochs have three steps, of 40 examples."""
  ahead, live = (
    distilled(method, teacher_batches=batches, batch_size=40).result.distilled
    for batches in (3, 1)
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    ahead.variables,
    live.variables,
  )


def test_a_method_without_a_teacher_waits_for_none(make_settings, monkeypatch):
  _, _, ahead = _form(make_settings, monkeypatch, method='tfkd')
  assert ahead is None


def _form(make_settings, monkeypatch, **changes):
  """Name of the form that is chosen, the step's teacher, and who is ahead."""
  experiment = recipes.prepare(make_settings(**changes))
  settings, dataset, source = experiment
  stage, *_ = preparation.stages(settings, dataset, source)
  asked = compiled.run_of(experiment, stage)
  states = jax.eval_shape(
    lambda: programs.initial_states(
      run.Context(settings, dataset, None, None), asked, optax.sgd(0.1)
    )
  )
  chosen = {}

  def note(name):
    def make(step, variables, *args, **kwargs):
      chosen.update(kwargs, name=name)

    return make

  def note_step(*args, teacher, **kwargs):
    chosen['teacher'] = teacher

  for name in ('resident_epoch', 'stepped_epoch', 'streaming_epoch'):
    monkeypatch.setattr(training, name, note(name))
  monkeypatch.setattr(training, 'make_train_step', note_step)
  programs.epoch_program(
    run.Context(settings, dataset, None, None),
    asked,
    optax.sgd(0.1),
    states,
  )
  return chosen['name'], chosen['teacher'], chosen.get('ahead')


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({}, 'resident_epoch'),
    ({'student': 'vit_student'}, 'resident_epoch'),
    # Convolutions, the loss's too, are slow in loops on CPU.
    ({'student': 'vit_student', 'method': 'review'}, 'stepped_epoch'),
    ({'student': 'cnn_student'}, 'stepped_epoch'),
    ({'stream': True}, 'streaming_epoch'),
  ],
)
def test_the_form_of_an_epoch(make_settings, monkeypatch, changes, expected):
  name, teacher, ahead = _form(make_settings, monkeypatch, **changes)
  assert name == expected
  if expected == 'resident_epoch':
    assert teacher is None
    assert (ahead.names, ahead.batches) == (('logits',), 2)
  else:
    assert ahead is None
    assert teacher is not None


def test_one_batch_in_a_pass_is_the_step_itself(make_settings, monkeypatch):
  _, teacher, ahead = _form(make_settings, monkeypatch, teacher_batches=1)
  assert ahead is None
  assert teacher is not None
