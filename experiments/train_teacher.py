r"""Trains a teacher from labels, for `distill --teacher_checkpoint=WORKDIR`.

python -m experiments.train_teacher --dataset=cifar10 --teacher=resnet56 \
      --teacher_epochs=240 --schedule=step --workdir=runs/resnet56
"""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import app

from experiments import common, wiring
from kdjax import models, recipes, reports, tasks
from kdjax.models import Network
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment

_OPTIONS = (tasks.Options, models.Options, recipes.Options, Budget)

common.define_run_flags()
common.define_flags(
  *_OPTIONS,
  # Options of students.
  without=(
    'transfer_examples',
    'transfer',
    'student',
    'teacher_checkpoint',
    'scratch',
    'epochs',
    'seeds',
    'seed',
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
  model = wiring.make_teacher(given, dataset)
  experiment = Experiment(task, given[Budget], pathlib.Path())
  recipes.check_devices(experiment)
  with common.running(
    'train_teacher', given, experiment, task.name, 'train_teacher'
  ) as experiment:
    teacher = recipes.train_teacher(
      experiment, model, epochs=given[recipes.Options].teacher_epochs
    )
  common.report(
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
