"""Distils a teacher into a student, beside the same student from scratch.

python -m experiments.distill
python -m experiments.distill --method=kd,rkd --transfer_examples=0
python -m experiments.distill --flagfile=experiments/flagfiles/NAME.flags
"""

import time
from collections.abc import Sequence

from experiments import common
from kdjax import recipes, reports, training

common.define_flags()


def main(argv: Sequence[str]) -> None:
  """Runs and reports the experiment that the flags describe."""
  del argv
  start = time.perf_counter()
  settings = common.settings_from_flags()
  common.use_devices()
  experiment = recipes.prepare(settings)
  workdir = common.claim_workdir('distill', settings)
  with training.StopSignal() as stop, reports.Recorder(workdir) as recorder:
    result = recipes.distill(experiment, workdir, recorder, stop)
  summary = recipes.summarise(result, time.perf_counter() - start)
  reports.write_summary(workdir, summary)
  reports.plot_curves(workdir)
  reports.print_summary(summary)
  print(f'Written to {workdir}')


if __name__ == '__main__':
  common.run(main)
