"""From options to objects: defaults that depend on the data, and errors."""

import dataclasses

import jax
import numpy as np
import pytest
import small_experiments
from small_experiments import given

from experiments import wiring
from kdjax import data, recipes
from kdjax.options import OptionError


@pytest.fixture(scope='module')
def digits_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('digits')
  data.load('digits', data_dir=str(folder))
  return str(folder)


@pytest.fixture(scope='module')
def wire(digits_dir):
  def wire(**changes):
    return wiring.wire(given(data_dir=digits_dir, **changes))

  return wire


@pytest.fixture
def cifar10(monkeypatch):
  """A data set as large as CIFAR-10, whose images are all black."""

  def read(indices):
    count = len(indices)
    return {
      'image': np.zeros((count, 32, 32, 3), np.uint8),
      'label': np.int32(indices % 10),
    }

  train, test = (data.Source(read, length) for length in (50_000, 10_000))
  mean, std = (125.0, 123.0, 114.0), (63.0, 62.0, 67.0)
  found = data.Dataset('cifar10', 10, (32, 32, 3), train, test, mean, std)
  monkeypatch.setattr(data, 'load', lambda name, data_dir, **_: found)


def _names(wired):
  return (
    wired.teacher_model.name,
    wired.student.name,
    wired.experiment.task.views.name,
  )


def _teacher_epochs(wired):
  """The length of the teacher's training, as `recipes.train_teacher` has it."""
  own = wired.experiment.for_teacher(wired.task, wired.teacher_epochs)
  return own.epochs


def _hint_epochs(wired):
  """The length of the first stage."""
  hint, distilled = recipes.plan(
    wired.experiment, wired.student, wired.teacher_model, wired.method
  ).stages
  assert hint.epochs + distilled.epochs == wired.experiment.epochs
  return hint.epochs


def test_defaults_of_digits(wire):
  wired = wire(method='fitnets')
  assert _names(wired) == ('mlp_teacher', 'mlp_student', 'crop1')
  assert (wired.dataset.name, wired.dataset.classes) == ('digits', 10)
  assert wired.task.name == wired.experiment.task.name == 'digits'
  assert list(wired.task.measures) == ['accuracy', 'loss']
  # The student sees 120 examples, as many of every class; the teacher all.
  labels = wired.experiment.task.train.labels()
  assert np.bincount(labels).tolist() == [12] * 10
  assert len(wired.task.train) == 1200
  assert len(wired.experiment.task.test) == len(wired.task.test) == 597
  # 1500 steps at 2 batches of 64 for the students, 19 for the teacher.
  assert wired.experiment.epochs == 750
  assert _teacher_epochs(wired) == 79
  assert _hint_epochs(wired) == 187
  assert wired.teacher is None


def test_defaults_of_other_data(cifar10):
  wired = wiring.wire(given(dataset='cifar10'))
  assert _names(wired) == ('resnet20', 'resnet8', 'crop4_flip')
  assert len(wired.experiment.task.train) == 50_000
  assert wired.experiment.epochs == _teacher_epochs(wired) == 2


def test_what_is_given_stays(wire):
  wired = wire(
    method='fitnets',
    teacher='resnet14',
    student='cnn_student',
    augmentation='none',
    transfer_examples=100,
    epochs=8,
    teacher_epochs=3,
    hint_epochs=5,
  )
  assert _names(wired) == ('resnet14', 'cnn_student', 'none')
  assert len(wired.experiment.task.train) == 100
  assert wired.experiment.epochs == 8
  assert _teacher_epochs(wired) == 3
  assert _hint_epochs(wired) == 5


def test_the_teachers_epochs_follow_the_students(wire):
  wired = wire(method='fitnets', epochs=8)
  assert _teacher_epochs(wired) == 8
  assert _hint_epochs(wired) == 2


def test_no_transfer_examples_are_all(wire):
  wired = wire(transfer_examples=0)
  assert len(wired.experiment.task.train) == 1200


def test_the_transfer_set_is_drawn_by_the_seed_of_the_data(wire):
  images = [
    wire(**seeds).experiment.task.train.arrays()['image'].tolist()
    for seeds in ({}, {'seed': 1}, {'data_seed': 1})
  ]
  assert images[0] == images[1] != images[2]


def test_wiring_twice_gives_the_same(wire, digits_dir):
  asked = given(data_dir=digits_dir, method='fitnets', set='fitnets.weight=2')
  before = {kind: dataclasses.asdict(values) for kind, values in asked.items()}
  first, second = wiring.wire(asked), wiring.wire(asked)
  assert before == {
    kind: dataclasses.asdict(values) for kind, values in asked.items()
  }
  assert _names(first) == _names(second)
  assert first.experiment.budget == second.experiment.budget
  assert (
    first.experiment.task.train.labels().tolist()
    == second.experiment.task.train.labels().tolist()
  )


def test_networks_normalise_as_the_data_set_says(wire):
  wired = wire(precision='bfloat16')
  for model in (wired.student, wired.teacher_model):
    assert model.note['mean'] == list(wired.dataset.mean)
    assert model.note['std'] == list(wired.dataset.std)
    assert model.note['precision'] == 'bfloat16'
    assert model.note['classes'] == 10


def test_measures_by_name(wire):
  wired = wire(measures='macro_f1, ece')
  assert list(wired.task.measures) == ['macro_f1', 'ece', 'loss']
  with pytest.raises(OptionError, match=r'measures=accuracy,f1: .*macro_f1'):
    wire(measures='accuracy,f1')


def test_devices(wire, digits_dir):
  devices = jax.local_devices()[:2]
  asked = given(data_dir=digits_dir)
  assert wire().experiment.devices is None
  assert wiring.wire(asked, devices).experiment.devices is devices


def _refused(wire, *words, **changes):
  with pytest.raises(OptionError) as caught:
    wire(**changes)
  message = str(caught.value)
  assert '\n' not in message
  for word in words:
    assert word in message
  return message


def test_more_transfer_examples_than_there_are(wire):
  message = _refused(wire, '1200', transfer_examples=1201)
  assert message.startswith('transfer_examples=1201: ')


def test_unknown_data(wire):
  message = _refused(wire, 'digits', dataset='digitz')
  assert message.startswith('dataset=digitz: ')


@pytest.fixture(scope='module')
def teacher_dir(wire, tmp_path_factory):
  """The workdir of a trained teacher."""
  workdir = tmp_path_factory.mktemp('teacher')
  wired = wire(teacher='mlp_student', teacher_epochs=1, batch_size=400)
  trained = small_experiments.train_teacher(wired, workdir)
  return workdir, trained


@pytest.mark.parametrize('inner', ['', 'teacher'])
@pytest.mark.parametrize('name', [None, 'mlp_student'])
def test_a_teacher_can_be_reused(wire, teacher_dir, inner, name):
  workdir, trained = teacher_dir
  wired = wire(teacher=name, teacher_checkpoint=str(workdir / inner))
  assert wired.teacher_model is wired.teacher.model
  assert wired.teacher.name == 'mlp_student'
  jax.tree.map(
    np.testing.assert_array_equal, wired.teacher.variables, trained.variables
  )


def test_a_reused_teacher_computes_as_precisely_as_is_asked(wire, teacher_dir):
  asked = {'teacher_checkpoint': str(teacher_dir[0]), 'precision': 'bfloat16'}
  model = wire(**asked).teacher.model
  assert model.note['precision'] == 'bfloat16'


def test_another_teacher_is_refused(wire, teacher_dir):
  message = _refused(
    wire,
    'mlp_teacher',
    'mlp_student',
    teacher='mlp_teacher',
    teacher_checkpoint=str(teacher_dir[0]),
  )
  assert message.startswith('teacher_checkpoint=')


@pytest.mark.parametrize(
  ('field', 'value', 'word'),
  [('classes', 7, 'classes'), ('image_shape', (9, 9, 1), 'image_shape')],
)
def test_a_teacher_of_other_data_is_refused(
  wire, teacher_dir, monkeypatch, field, value, word
):
  load = data.load
  monkeypatch.setattr(
    data,
    'load',
    lambda *args, **more: load(*args, **more)._replace(**{field: value}),
  )
  message = _refused(wire, word, teacher_checkpoint=str(teacher_dir[0]))
  assert message.startswith('teacher_checkpoint=')


def test_no_teacher_there(wire, tmp_path):
  message = _refused(
    wire, 'no checkpoint', teacher_checkpoint=str(tmp_path / 'none')
  )
  assert message.startswith('teacher_checkpoint=')


def test_a_training_checkpoint_is_no_teacher(wire, teacher_dir):
  directory = teacher_dir[0] / 'checkpoints' / 'teacher'
  message = _refused(wire, 'another network', teacher_checkpoint=str(directory))
  assert message.startswith('teacher_checkpoint=')
