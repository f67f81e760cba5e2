"""Trains a teacher from labels, for `distill --teacher_checkpoint=WORKDIR`.

python -m experiments.train_teacher --dataset=cifar10 --teacher=resnet56 \
      --teacher_epochs=240 --schedule=step --workdir=/tmp/resnet56
"""

import time
from collections.abc import Sequence

from experiments import common
from kdjax import deploy, recipes, reports, training
from kdjax.recipes import programs

# A student's settings mean nothing here.
common.define_flags(only=common.TEACHER_FIELDS)


def main(argv: Sequence[str]) -> None:
  """Trains and reports the teacher that the flags describe."""
  del argv
  start = time.perf_counter()
  settings = common.settings_from_flags()
  common.use_devices()
  experiment = recipes.prepare_teacher(settings)
  workdir = common.claim_workdir('train_teacher', settings)
  with training.StopSignal() as stop, reports.Recorder(workdir) as recorder:
    teacher = recipes.train_teacher(experiment, workdir, recorder, stop)
  cost = deploy.measure(
    teacher.model,
    teacher.variables,
    programs.batch_shapes(experiment.dataset),
  )
  summary = {
    'dataset': experiment.dataset.name,
    'seconds': time.perf_counter() - start,
    'teacher': {
      'model': teacher.name,
      **cost._asdict(),
      'accuracy': teacher.accuracy,
    },
  }
  reports.write_summary(workdir, summary)
  reports.plot_curves(workdir)
  print(f'{teacher.name}: test accuracy {100 * teacher.accuracy:.2f} %')
  print(f'Written to {workdir}')


if __name__ == '__main__':
  common.run(main)
