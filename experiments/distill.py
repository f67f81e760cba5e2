"""Distils a teacher into a student, beside the same student from scratch.

python -m experiments.distill
python -m experiments.distill --method=kd,rkd --transfer_examples=0
python -m experiments.distill --flagfile=experiments/flagfiles/NAME.flags
"""

import time
from collections.abc import Sequence

from absl import app

from experiments import common, wiring
from kdjax import recipes, reports, training

common.define_run_flags()
common.define_flags(*wiring.DISTILLATION)


def main(argv: Sequence[str]) -> None:
  """Runs and reports the experiment that the flags describe."""
  del argv
  start = time.perf_counter()
  given = common.asked(*wiring.DISTILLATION)
  common.use_devices()
  wired = wiring.wire(given)
  experiment, student, method = wired.experiment, wired.student, wired.method
  known = wired.teacher.variables if wired.teacher else None
  recipes.check(experiment, student, wired.teacher_model, method, known)
  workdir = common.claim_workdir(
    'distill', given, experiment.task.name, method.name
  )
  with training.StopSignal() as stop, common.observer(workdir) as observer:
    experiment = experiment._replace(
      workdir=workdir, observer=observer, stop=stop
    )
    teacher = wired.teacher or recipes.train_teacher(
      experiment, wired.teacher_model, wired.task, epochs=wired.teacher_epochs
    )
    result = recipes.distil(
      experiment,
      student,
      teacher,
      method,
      scratch=given[recipes.Options].scratch,
    )
  common.report(
    workdir,
    lambda: recipes.summarise(result, time.perf_counter() - start),
    reports.print_summary,
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
