r"""Distils through teacher assistants, beside direct distillation.

python -m experiments.assistants
python -m experiments.assistants --dataset=cifar10 --teacher=resnet56 \
      --assistants=resnet20,resnet14 --student=resnet8
"""

import itertools
import time
from collections.abc import Sequence

from absl import app

from experiments import common, extending, networks, wiring, workdirs
from kdjax import recipes, reports, tasks

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
  wired = extending.extended(wiring.asked())
  student, method = wired.student, wired.method
  digits = wired.given[tasks.Options].is_digits
  names = common.FLAGS.assistants or ('mlp_assistant' if digits else 'resnet14')
  found = networks.make_models(wired.given, wired.dataset, 'assistants', names)
  chain = [*found.values()]
  whole = [wired.teacher_model, *chain, student]
  for above, below in itertools.pairwise(whole):
    begin = wired.start if below is student else None
    recipes.check(wired.experiment, below, above, method, start=begin)
  words = wired.task.name, 'assistants', method.name
  with workdirs.running(
    'assistants',
    wired.given,
    wired.experiment,
    *words,
    extended_from=wired.extended_from,
  ) as experiment:
    teacher = wired.taught(experiment)
    results = recipes.assistants(
      experiment,
      student,
      chain,
      teacher,
      method,
      task=wired.task,
      epochs=wired.teacher_epochs,
      scratch=wired.scratch,
      start=wired.start,
    )
  workdirs.report(
    experiment.workdir,
    lambda: recipes.compare(results, time.perf_counter() - start),
    reports.print_comparison,
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
