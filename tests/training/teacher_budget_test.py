"""What a teacher's training has of its own, and what it shares."""

import dataclasses
import pathlib

import numpy as np
import pytest

from kdjax import data, options, tasks, training
from kdjax.training import Budget, TeacherBudget

_BUDGET = Budget(epochs=8, learning_rate=0.5, data_seed=5, seed=7, seeds=3)


def _task(examples):
  source = data.from_arrays(
    np.zeros((examples, 2, 2), np.uint8), np.arange(examples) % 3
  )
  return tasks.classification('zeros', source, source, 3)


def test_nothing_of_its_own_is_the_students_budget():
  own = TeacherBudget()
  assert own.of(_BUDGET) == _BUDGET
  assert own.given() == {}


def test_its_own_values_replace_the_students():
  own = TeacherBudget(
    batch_size=32, optimizer='adam', learning_rate=0.001, examples=90
  )
  assert own.of(_BUDGET) == dataclasses.replace(
    _BUDGET, batch_size=32, optimizer='adam', learning_rate=0.001
  )
  assert own.flag('learning_rate') == 'teacher_learning_rate'
  assert own.flag('warmup_epochs') == 'warmup_epochs'


def test_milestones_of_its_own():
  budget = dataclasses.replace(_BUDGET, milestones='0.3,0.6,0.9')
  assert TeacherBudget().of(budget).all_milestones == (0.3, 0.6, 0.9)
  assert TeacherBudget(milestones='0.5').of(budget).all_milestones == (0.5,)
  assert Budget().all_milestones == (150 / 240, 180 / 240, 210 / 240)


@pytest.mark.parametrize('text', ['30,60,90', '0.6,0.3', 'half', '', '0.5,'])
def test_milestones_that_are_none(text):
  with pytest.raises(options.OptionError, match=r'^milestones=.*: .*below 1'):
    Budget(milestones=text)
  with pytest.raises(options.OptionError, match=r'^teacher_milestones=.*: '):
    TeacherBudget(milestones=text)


def test_zero_is_a_value_of_its_own():
  budget = dataclasses.replace(_BUDGET, warmup_epochs=2, ema=0.9)
  own = TeacherBudget(warmup_epochs=0.0, ema=0.0, weight_decay=0.0)
  found = own.of(budget)
  assert (found.warmup_epochs, found.ema, found.weight_decay) == (0, 0, 0)


def test_values_have_the_rules_of_the_students():
  with pytest.raises(options.OptionError, match=r'^teacher_ema=1.0: .*below 1'):
    TeacherBudget(ema=1.0)
  with pytest.raises(options.OptionError, match=r'^teacher_schedule=linear: '):
    TeacherBudget(schedule='linear')


def test_a_teacher_with_a_budget_keeps_the_seed_of_the_data():
  experiment = training.Experiment(_task(120), _BUDGET, pathlib.Path())
  own = experiment.for_teacher(
    _task(1200), members=2, budget=Budget(epochs=3, batch_size=100)
  )
  assert own.budget.all_seeds == (5, 6)
  assert own.budget.data_seed == 5
  assert (own.epochs, own.steps_per_epoch) == (3, 12)
  assert own.budget.learning_rate == 0.05
  # An own number of epochs wins.
  assert (
    experiment.for_teacher(_task(9), 4, budget=Budget(epochs=3)).epochs == 4
  )
