"""Trains a teacher from labels, for `distill --teacher_checkpoint=WORKDIR`.

python -m experiments.train_teacher --dataset=cifar10 --teacher=resnet56 \
      --teacher_epochs=240 --schedule=step --workdir=runs/resnet56
"""

import pathlib
import time
from collections.abc import Sequence

from experiments import common, wiring
from kdjax import models, recipes, reports, tasks, training
from kdjax.training import Budget, Experiment

_OPTIONS = (tasks.Options, models.Options, recipes.Options, Budget)

common.define_run_flags()
common.define_flags(
  *_OPTIONS,
  # What a student alone has.
  without=(
    'transfer_examples',
    'student',
    'teacher_checkpoint',
    'scratch',
    'epochs',
    'seeds',
    'seed',
  ),
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
  workdir = common.claim_workdir(
    'train_teacher', given, task.name, 'train_teacher'
  )
  with training.StopSignal() as stop, reports.Recorder(workdir) as recorder:
    teacher = recipes.train_teacher(
      experiment._replace(workdir=workdir, observer=recorder, stop=stop),
      model,
      epochs=given[recipes.Options].teacher_epochs,
    )
  summary = {
    'dataset': task.name,
    'seconds': time.perf_counter() - start,
    'teacher': {**recipes.describe(task, teacher), **teacher.measures},
  }
  reports.write_summary(workdir, summary)
  reports.plot_curves(workdir)
  for name, value in teacher.measures.items():
    measure = recipes.describe_measure(task, name)
    print(
      f'{teacher.name}: test {name} {reports.shown(value, measure)} '
      f'{measure["unit"]}'.rstrip()
    )
  print(f'Written to {workdir}')


if __name__ == '__main__':
  common.run(main)
