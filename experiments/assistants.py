r"""Distils through teacher assistants, beside direct distillation.

python -m experiments.assistants
python -m experiments.assistants --dataset=cifar10 --teacher=resnet56 \
      --assistants=resnet20,resnet14 --student=resnet8
"""

import itertools
import time
from collections.abc import Sequence

from absl import app

from experiments import common, wiring
from kdjax import recipes, reports, tasks, training

common.define_run_flags()
common.define_own_flag(
  'Assistants',
  'assistants',
  '',
  'Architectures between teacher and student, the largest first, with commas. '
  'They see the examples that the teacher sees, as often. Default: '
  'mlp_assistant for digits, resnet14 otherwise.',
)
common.define_flags(*wiring.DISTILLATION)


def main(argv: Sequence[str]) -> None:
  """Runs and reports the chain that the flags describe."""
  del argv
  start = time.perf_counter()
  given = common.asked(*wiring.DISTILLATION)
  common.use_devices()
  wired = wiring.wire(given)
  experiment, student, method = wired.experiment, wired.student, wired.method
  digits = given[tasks.Options].is_digits
  names = common.FLAGS.assistants or ('mlp_assistant' if digits else 'resnet14')
  chain = [
    *wiring.make_models(given, wired.dataset, 'assistants', names).values()
  ]
  networks = [wired.teacher_model, *chain, student]
  for above, below in itertools.pairwise(networks):
    recipes.check(experiment, below, above, method)
  workdir = common.claim_workdir(
    'assistants', given, wired.task.name, 'assistants', method.name
  )
  with training.StopSignal() as stop, common.observer(workdir) as observer:
    experiment = experiment._replace(
      workdir=workdir, observer=observer, stop=stop
    )
    teacher = wired.teacher or recipes.train_teacher(
      experiment, wired.teacher_model, wired.task, epochs=wired.teacher_epochs
    )
    results = recipes.assistants(
      experiment,
      student,
      chain,
      teacher,
      method,
      task=wired.task,
      epochs=wired.teacher_epochs,
      scratch=given[recipes.Options].scratch,
    )
  common.report(
    workdir,
    lambda: recipes.compare(results, time.perf_counter() - start),
    reports.print_comparison,
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
