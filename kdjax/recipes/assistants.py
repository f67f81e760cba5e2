"""A chain of teacher assistants, beside direct distillation."""

import dataclasses
import functools
from collections.abc import Sequence

from kdjax.methods import Method
from kdjax.models import Model, Network
from kdjax.recipes.distillation import Distilled, distil
from kdjax.recipes.starting import Start
from kdjax.tasks import Task
from kdjax.training import Experiment
from kdjax.transforms import LossTransform


def assistants(
  experiment: Experiment,
  student: Model,
  chain: Sequence[Model],
  teacher: Network,
  method: Method | LossTransform,
  *,
  task: Task | None = None,
  epochs: int | None = None,
  scratch: bool = True,
  start: Start = None,
) -> dict[str, Distilled]:
  """Distils through assistants of growing smallness, and directly.

  Each assistant is distilled from the network before it and teaches the next;
  the last one teaches the student.

  Args:
    experiment: As for `distil`.
    student: The student.
    chain: The assistants, the largest first; at least one.
    teacher: The teacher.
    method: The method of every step.
    task: With the examples that assistants see; the student's by default.
    epochs: How often they see them; the student's budget by default.
    scratch: Whether to train the student from scratch too.
    start: Trained networks that the student starts from, as for `distil`.

  Returns:
    The distillations `direct`, `assistant1`, ... and `chain`; all but the
    assistants share the student from scratch.

  References:
    Mirzadeh et al., `Improved Knowledge Distillation via Teacher Assistant
    <https://arxiv.org/abs/1902.03393>`_, 2020, section 4.
  """
  taught = functools.partial(distil, start=start)
  results = {
    'direct': taught(
      experiment.part('direct'), student, teacher, method, scratch=scratch
    )
  }
  budget = experiment.budget
  single = dataclasses.replace(
    budget, seed=budget.data_seed, seeds=1, epochs=epochs or budget.epochs
  )
  own = experiment._replace(task=task or experiment.task, budget=single)
  for place, model in enumerate(chain, start=1):
    name = f'assistant{place}'
    results[name] = distil(
      own.part(name), model, teacher, method, scratch=False
    )
    teacher = results[name].student
  last = taught(
    experiment.part('chain'), student, teacher, method, scratch=False
  )
  results['chain'] = last._replace(scratch=results['direct'].scratch)
  return results
