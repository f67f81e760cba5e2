"""Which form an epoch takes, and how many batches the teacher answers."""

import jax
import numpy as np
import optax
import pytest

from kdjax import recipes, training
from kdjax.recipes import compiled, preparation, programs, run


@pytest.mark.parametrize('method', ['kd', 'fitnets'])
@pytest.mark.parametrize('batches', [1, 3])
def test_a_teacher_ahead_changes_no_result(distilled, method, batches):
  """Of default two; epochs have two steps of 64 and 56 examples."""
  changed = distilled(method, teacher_batches=batches).result
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    changed.distilled.variables,
    distilled(method).result.distilled.variables,
  )


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
    states.model,
  )
  return chosen['name'], chosen['teacher'], chosen.get('ahead')


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({}, 'resident_epoch'),
    # Its one convolution costs nothing in a loop; those of others do, on CPU.
    ({'student': 'vit_student'}, 'resident_epoch'),
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
