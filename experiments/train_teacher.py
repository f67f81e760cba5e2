r"""Trains a teacher from labels, for `distill --teacher_checkpoint=WORKDIR`.

python -m experiments.train_teacher --dataset=cifar10 --teacher=resnet56 \
      --teacher_epochs=240 --schedule=step --workdir=runs/resnet56
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import app

from experiments import common, extending, networks, workdirs
from kdjax import models, recipes, reports, tasks
from kdjax.models import Network
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment, TeacherBudget

_OPTIONS = (
  tasks.Options,
  models.Options,
  recipes.Options,
  Budget,
  TeacherBudget,
)

common.define_run_flags()
common.define_flags(
  *_OPTIONS,
  # Options of students.
  without=(
    'transfer_examples',
    'transfer',
    'student',
    'teacher_checkpoint',
    'student_checkpoint',
    'scratch',
    'epochs',
    'seeds',
    'seed',
    # Here the budget is the teacher's.
    *(
      f'teacher_{field.name}'
      for field in dataclasses.fields(TeacherBudget)
      if field.name != 'examples'
    ),
  ),
  texts={
    'teacher_epochs': (
      'Passes over all examples. Default: as many as make 1500 steps.'
    ),
  },
)


def main(argv: Sequence[str]) -> None:
  """Trains and reports the teacher that the flags describe."""
  del argv
  start = time.perf_counter()
  given = common.asked(*_OPTIONS)
  common.use_devices()
  dataset, task = tasks.load(given[tasks.Options])
  model, budget = networks.make_teacher(given, dataset), given[Budget]
  own, epochs = given[TeacherBudget], given[recipes.Options].teacher_epochs
  task = recipes.fewer_examples(task, own.examples, budget.data_seed)
  experiment = Experiment(task, budget, pathlib.Path())
  recipes.check_teacher(experiment, task, own, epochs)
  with workdirs.running(
    'train_teacher',
    given,
    experiment,
    task.name,
    'train_teacher',
    extended_from=extending.extended_teacher(given, experiment),
  ) as experiment:
    teacher = recipes.train_teacher(experiment, model, epochs=epochs)
  workdirs.report(
    experiment.workdir,
    lambda: {
      'dataset': task.name,
      'split': task.split,
      'seconds': time.perf_counter() - start,
      'teacher': {**recipes.describe(task, teacher), **teacher.measures},
      **recipes.describe_data(task),
    },
    lambda summary: _print(summary, task, teacher),
  )


def _print(summary: dict[str, Any], task: Task, teacher: Network) -> None:
  for name, value in teacher.measures.items():
    measure = recipes.describe_measure(task, name)
    shown = f'{reports.shown(value, measure)} {measure["unit"]}'.rstrip()
    print(f'{teacher.name}: {task.split} {name} {shown}')
  reports.print_data(summary)


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
