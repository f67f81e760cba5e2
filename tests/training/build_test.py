"""Which form an epoch takes, and how many batches the teacher answers."""

import pathlib

import jax
import numpy as np
import pytest

from kdjax import data, methods, models, recipes, tasks, training
from kdjax.models import Network
from kdjax.training import build

_EXAMPLES = 24


def _task():
  random = np.random.default_rng(0)
  source = data.from_arrays(
    random.integers(0, 16, (_EXAMPLES, 8, 8, 1)).astype(np.uint8),
    np.arange(_EXAMPLES) % 10,
  )
  views = data.crop_views(padding=1)
  return tasks.classification('small', source, source, 10, views=views)


def _experiment(stream=False, teacher_batches=2, **changes):
  return training.Experiment(
    _task(),
    training.Budget(seeds=2, epochs=2, stream=stream, **changes),
    pathlib.Path(),
    teacher_options=training.TeacherOptions(batches=teacher_batches),
  )


def _run(experiment, method='kd', student='mlp_student'):
  """The last stage of a distillation; of the teacher there are shapes."""
  made = [models.create(name, classes=10) for name in (student, 'mlp_student')]
  learner, teacher = (models.normalised(model, [4.9], [6.0]) for model in made)
  planned = recipes.plan(experiment, learner, teacher, methods.named(method))
  variables = jax.eval_shape(
    teacher.init, jax.random.key(0), experiment.task.batch()
  )
  return training.Run(
    'distilled',
    planned.student,
    planned.stages[-1].loss,
    experiment.student_key,
    experiment.epochs,
    Network(planned.teacher, variables),
  )


def _form(monkeypatch, experiment, **changes):
  """Name of the form that is chosen, the step's teacher, and who is ahead."""
  run, chosen = _run(experiment, **changes), {}
  states = jax.eval_shape(lambda: build.initial_states(experiment, run))

  def note(name):
    def make(step, variables, *args, **kwargs):
      chosen.update(kwargs, name=name, variables=variables)

    return make

  def note_step(*args, teacher, **kwargs):
    chosen['teacher'] = teacher

  for name in ('resident_epoch', 'stepped_epoch', 'streaming_epoch'):
    monkeypatch.setattr(build, name, note(name))
  monkeypatch.setattr(build, 'make_train_step', note_step)
  build.epoch(experiment, run, states)
  assert chosen['variables'] is run.teacher.variables
  return chosen['name'], chosen['teacher'], chosen.get('ahead')


@pytest.mark.parametrize(
  ('changes', 'stream', 'expected'),
  [
    ({}, False, 'resident_epoch'),
    ({'student': 'vit_student'}, False, 'resident_epoch'),
    # Convolutions, the loss's too, are slow in loops on CPU.
    (
      {'student': 'vit_student', 'method': 'review'},
      False,
      'stepped_epoch',
    ),
    ({'student': 'cnn_student'}, False, 'stepped_epoch'),
    ({}, True, 'streaming_epoch'),
  ],
)
def test_the_form_of_an_epoch(monkeypatch, changes, stream, expected):
  experiment = _experiment(stream=stream)
  name, teacher, ahead = _form(monkeypatch, experiment, **changes)
  assert name == expected
  if expected == 'resident_epoch':
    assert teacher is None
    assert (ahead.names, ahead.batches) == (('logits',), 2)
  else:
    assert ahead is None
    assert teacher is not None


def test_one_batch_in_a_pass_is_the_step_itself(monkeypatch):
  experiment = _experiment(teacher_batches=1)
  _, teacher, ahead = _form(monkeypatch, experiment)
  assert ahead is None
  assert teacher is not None


def test_a_method_without_a_teacher_waits_for_none(monkeypatch):
  _, _, ahead = _form(monkeypatch, _experiment(), method='tfkd')
  assert ahead is None


def test_large_data_are_streamed(monkeypatch):
  experiment = _experiment()
  assert not build.streams(experiment, experiment.task.train)
  # An image of 64 bytes, a label, an index and a weight of 4 bytes each.
  monkeypatch.setattr(build, '_LARGEST_RESIDENT_BYTES', _EXAMPLES * 76)
  assert not build.streams(experiment, experiment.task.train)
  monkeypatch.setattr(build, '_LARGEST_RESIDENT_BYTES', _EXAMPLES * 76 - 1)
  assert build.streams(experiment, experiment.task.train)


def test_means_over_an_epoch_count_examples_alike():
  """The last of three batches of 4 holds 2 of 10 examples."""
  values = np.float32([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
  means = build.epoch_means({'loss': values}, 10, 4)
  expected = (4 * 1.0 + 4 * 2.0 + 2 * 6.0) / 10
  np.testing.assert_allclose(means['loss'], [expected, 10 * expected])
  assert means['loss'].dtype == np.float64
