"""Teachers with a budget and with examples of their own."""

import dataclasses

import jax
import numpy as np
import pytest

from kdjax import data, recipes
from kdjax.options import OptionError
from kdjax.training import Budget


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_budget_of_its_own_trains_as_an_experiment_of_that_budget(
  wire, tmp_path
):
  wired = wire()
  model, task = wired.teacher_model, wired.task
  own = Budget(batch_size=400, learning_rate=0.3, optimizer='adam', epochs=2)
  found = recipes.train_teacher(
    wired.experiment._replace(workdir=tmp_path / 'one'), model, task, budget=own
  )
  alone = wired.experiment._replace(workdir=tmp_path / 'two', budget=own)
  expected = recipes.train_teacher(alone, model, task, epochs=2)
  _assert_equal(found.variables, expected.variables)


def test_flags_of_the_teacher_reach_its_training_alone(wire):
  wired = wire(
    teacher_learning_rate=0.3,
    teacher_schedule='constant',
    teacher_batch_size=40,
    teacher_optimizer='adam',
    teacher_weight_decay=0.0,
    teacher_warmup_epochs=1.0,
    learning_rate=0.1,
  )
  assert wired.teacher_budget == dataclasses.replace(
    wired.experiment.budget,
    learning_rate=0.3,
    schedule='constant',
    batch_size=40,
    optimizer='adam',
    weight_decay=0.0,
    warmup_epochs=1.0,
  )
  assert wired.experiment.budget.learning_rate == 0.1
  assert wired.experiment.budget.schedule == 'cosine'


def test_the_teachers_examples_are_balanced_and_hold_the_students(wire):
  wired = wire(teacher_examples=600, data_seed=3)
  labels = wired.task.train.labels()
  assert np.bincount(labels).tolist() == [60] * 10
  images = {x.tobytes() for x in wired.task.train.arrays()['image']}
  of_student = wired.experiment.task.train.arrays()['image']
  assert len(of_student) == 120
  assert all(x.tobytes() in images for x in of_student)


def test_no_teacher_examples_are_all(wire):
  assert len(wire(teacher_examples=0).task.train) == 1200
  task = wire().task
  assert recipes.fewer_examples(task, None, 0) is task


def test_more_teacher_examples_than_there_are(wire):
  source = data.from_arrays(np.zeros((9, 2, 2), np.uint8), np.arange(9) % 3)
  task = wire().task._replace(train=source)
  with pytest.raises(OptionError, match=r'^teacher_examples=10: .* at most 9'):
    recipes.fewer_examples(task, 10, 0)


def test_an_own_budget_does_not_suit_a_teacher_that_is_trained(
  wire, teacher_dir
):
  with pytest.raises(OptionError, match=r'^teacher_ema=0.9: .*checkpoint'):
    wire(teacher_checkpoint=str(teacher_dir), teacher_ema=0.9)
