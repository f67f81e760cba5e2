"""Distils a teacher into a student, beside the same student from scratch.

python -m experiments.distill
python -m experiments.distill --method=kd,rkd --transfer_examples=0
python -m experiments.distill --flagfile=experiments/flagfiles/NAME.flags
"""

import time
from collections.abc import Sequence

from absl import app

from experiments import common, extending, wiring, workdirs
from kdjax import recipes, reports

common.define_run_flags()
common.define_flags(*wiring.DISTILLATION)


def main(argv: Sequence[str]) -> None:
  """Runs and reports the experiment that the flags describe."""
  del argv
  start = time.perf_counter()
  wired = extending.extended(wiring.asked())
  student, method = wired.student, wired.method
  known = wired.teacher.variables if wired.teacher else None
  recipes.check(
    wired.experiment,
    student,
    wired.teacher_model,
    method,
    known,
    start=wired.start,
  )
  with workdirs.running(
    'distill',
    wired.given,
    wired.experiment,
    wired.task.name,
    method.name,
    extended_from=wired.extended_from,
  ) as experiment:
    teacher = wired.taught(experiment)
    result = recipes.distil(
      experiment,
      student,
      teacher,
      method,
      scratch=wired.scratch,
      start=wired.start,
    )
  workdirs.report(
    experiment.workdir,
    lambda: {
      **recipes.summarise(result, time.perf_counter() - start),
      'settings': workdirs.deciding(wired.given),
    },
    reports.print_summary,
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
