"""Distils an ensemble of teachers, beside its best member.

python -m experiments.ensemble
python -m experiments.ensemble --teachers=mlp_teacher,cnn_teacher --members=2
"""

import time
from collections.abc import Sequence

from absl import app

from experiments import common, extending, networks, wiring, workdirs
from kdjax import models, recipes, reports
from kdjax.models import Model, Network
from kdjax.training import Experiment

common.define_run_flags()
common.define_own_flag(
  'Ensemble', 'teachers', '', 'Architectures, with commas. Default: --teacher.'
)
common.define_own_flag(
  'Ensemble',
  'members',
  3,
  'How many teachers of each architecture.',
  lower_bound=1,
)
common.define_own_flag(
  'Ensemble', 'of_logits', False, 'Average logits in place of probabilities.'
)
common.define_flags(*wiring.DISTILLATION, without=('teacher_checkpoint',))


def main(argv: Sequence[str]) -> None:
  """Runs and reports the ensemble that the flags describe."""
  del argv
  start, flag = time.perf_counter(), common.FLAGS
  wired = extending.extended(wiring.asked())
  student, method = wired.student, wired.method
  names = flag.teachers or wired.teacher_model.name
  teachers = networks.make_models(wired.given, wired.dataset, 'teachers', names)
  together = models.ensemble_model([*teachers.values()] * flag.members)
  recipes.check(wired.experiment, student, together, method, start=wired.start)
  words = wired.task.name, 'ensemble', method.name
  with workdirs.running(
    'ensemble',
    wired.given,
    wired.experiment,
    *words,
    extended_from=wired.extended_from,
  ) as experiment:
    members = _members(wired, experiment, teachers)
    results = recipes.ensemble(
      experiment,
      student,
      members,
      method,
      of_logits=flag.of_logits,
      scratch=wired.scratch,
      start=wired.start,
    )
  workdirs.report(
    experiment.workdir,
    lambda: recipes.compare(results, time.perf_counter() - start),
    reports.print_comparison,
  )


def _members(
  wired: wiring.Wiring, experiment: Experiment, teachers: dict[str, Model]
) -> list[Network]:
  """Trains the members of every architecture."""
  return [
    network
    for name, model in teachers.items()
    for network in recipes.train_teachers(
      experiment.part('teachers'),
      model,
      wired.task,
      epochs=wired.teacher_epochs,
      budget=wired.teacher_budget,
      members=common.FLAGS.members,
      name=name,
    )
  ]


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
