"""An ensemble of teachers, beside its best member."""

from collections.abc import Sequence

from kdjax import models
from kdjax.methods import Method
from kdjax.models import Model, Network
from kdjax.recipes.distillation import Distilled, distil
from kdjax.recipes.starting import Start
from kdjax.training import Experiment, evaluate_network, is_measured
from kdjax.transforms import LossTransform


def ensemble(
  experiment: Experiment,
  student: Model,
  teachers: Sequence[Network],
  method: Method | LossTransform,
  *,
  of_logits: bool = False,
  scratch: bool = True,
  start: Start = None,
) -> dict[str, Distilled]:
  """Distils the mean answer of several teachers, and that of the best of them.

  The best member has the best first measure on the test set. That choice looks
  at the test set in favour of the single teacher, so a gain of the ensemble
  over it is not flattered.

  Args:
    experiment: As for `distil`.
    student: The student.
    teachers: At least one, of any architectures.
    method: The method. It can read nothing but the ensemble's logits.
    of_logits: Average the logits in place of the probabilities.
    scratch: Whether to train the student from scratch too.
    start: Trained networks that the student starts from, as for `distil`.

  Returns:
    The distillations `best_member` and `ensemble`, which share the student from
    scratch.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015.
  """
  name, measure = next(iter(experiment.task.measures.items()))
  known = [
    teacher
    if is_measured(experiment, teacher)
    else evaluate_network(experiment, teacher)
    for teacher in teachers
  ]
  sign = 1 if measure.higher_is_better else -1
  best = max(known, key=lambda network: sign * network.measures[name])
  together = models.ensemble(known, of_logits=of_logits)
  single = distil(
    experiment.part('best_member'),
    student,
    best,
    method,
    scratch=scratch,
    start=start,
  )
  mean = distil(
    experiment.part('ensemble'),
    student,
    together,
    method,
    scratch=False,
    start=start,
  )
  mean = mean._replace(scratch=single.scratch)
  return {'best_member': single, 'ensemble': mean}
