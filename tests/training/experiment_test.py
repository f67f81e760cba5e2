"""What all runs of an experiment share, and what a teacher's own is."""

import pathlib

import jax
import numpy as np

from kdjax import data, tasks, training


def _task(examples):
  source = data.from_arrays(
    np.zeros((examples, 2, 2), np.uint8), np.arange(examples) % 3
  )
  return tasks.classification('zeros', source, source, 3)


def _experiment(**changes):
  return training.Experiment(
    _task(120), training.Budget(**changes), pathlib.Path()
  )


def test_the_length_of_a_run():
  default = _experiment()
  assert default.steps_per_epoch == 2  # 120 examples in batches of 64
  assert default.epochs == 750  # 1500 steps
  assert _experiment(epochs=8).epochs == 8
  assert _experiment(batch_size=40).steps_per_epoch == 3
  assert _experiment(batch_size=7).epochs == 84  # 18 steps, rounded up


def test_a_teacher_sees_its_own_examples_with_its_own_seed():
  experiment = _experiment(seed=7, seeds=3, data_seed=5, learning_rate=0.5)
  task = _task(1200)
  own = experiment.for_teacher(task)
  assert own.task is task
  assert own.budget.all_seeds == (5,)
  assert own.budget.learning_rate == 0.5
  assert own.epochs == 79  # 1500 steps at 19 a pass
  assert experiment.for_teacher(task, epochs=4).epochs == 4
  # The student's own budget does not reach it.
  assert _experiment(epochs=2).for_teacher(task).epochs == 79


def test_teacher_and_students_draw_apart_and_by_the_seed_of_the_data():
  keys = [
    jax.random.key_data(key).tolist()
    for experiment in (_experiment(), _experiment(seed=3))
    for key in (experiment.teacher_key, experiment.student_key)
  ]
  assert keys[0] != keys[1]
  assert keys[:2] == keys[2:]  # the students' seed has no part in it
  other = _experiment(data_seed=1)
  assert jax.random.key_data(other.student_key).tolist() not in keys
  assert jax.random.key_data(other.teacher_key).tolist() not in keys
