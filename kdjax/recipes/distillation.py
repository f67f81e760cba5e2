"""Distillation, beside the same student trained from scratch."""

from typing import NamedTuple

import jax
import numpy as np

from kdjax import training
from kdjax.methods import Method, Stage, of_loss
from kdjax.models import Model, Network
from kdjax.recipes.planning import check_devices, plan
from kdjax.recipes.starting import Start, start_of
from kdjax.training import CachedTeacher, Experiment, Fitted, Run
from kdjax.transforms import LossTransform


class Distilled(NamedTuple):
  """The result of a distillation.

  Attributes:
    experiment: What it was asked.
    method: The method's name.
    teacher: The teacher, with its measures.
    scratch: The students trained from labels, or None.
    distilled: The students trained by the method; steps and seconds of all
      its stages.
    cached: What the teacher's outputs were read from, or None.
    pretrained: Whether all students started from trained networks.
  """

  experiment: Experiment
  method: str
  teacher: Network
  scratch: Fitted | None
  distilled: Fitted
  cached: CachedTeacher | None = None
  pretrained: bool = False

  @property
  def student(self) -> Network:
    """The distilled student of the first seed."""
    return self.distilled.network()


def distil(
  experiment: Experiment,
  student: Model,
  teacher: Network,
  method: Method | LossTransform,
  *,
  scratch: bool | Fitted = True,
  start: Start = None,
) -> Distilled:
  """Distils a teacher into a student, beside the same student from scratch.

  The student from scratch starts from the same parameters as the distilled
  one, sees the same examples in the same order for as many epochs, and is
  evaluated in the same way, after the last epoch.

  Args:
    experiment: Task, budget, and where models go. An experiment that stopped
      in its workdir is continued.
    student: The student; it trains once for each seed of the budget.
    teacher: Any trained network.
    method: From `kdjax.methods`, or one loss of your own.
    scratch: Whether to train the student from scratch too; or what
      `train_scratch` returned for this student, task and budget, which several
      distillations may share.
    start: A trained student to start from, with one seed; or a sequence of
      them, one for each seed. The control, still called `scratch`, starts from
      them too and trains on from labels alone.

  Raises:
    OptionError: if method, networks, budget and cache do not fit one another.
    DivergenceError: if a loss stops being finite.
    Interrupted: if a signal asked to stop.
  """
  if isinstance(method, LossTransform):
    method = of_loss(method)
  check_devices(experiment)
  teacher = _measured(experiment, teacher)
  planned = plan(experiment, student, teacher.model, method, teacher.variables)
  training.check_cache(
    experiment, planned.teacher, teacher.variables, planned.kept
  )
  begin = start_of(experiment, planned.student, start)
  alone = scratch if isinstance(scratch, Fitted) else None
  if scratch is True:
    alone = train_scratch(experiment, student, start)
  asked = teacher._replace(model=planned.teacher)
  cached = training.open_cache(experiment, asked, planned.kept)
  done, steps, seconds = 0, 0, 0.0
  for stage in planned.stages:  # each starts where the one before it ended
    run = _run(experiment, planned.student, stage, asked)
    run = run._replace(cached=cached, epochs_before=done, start=begin)
    fitted = training.fit(experiment, run)
    done, begin = done + stage.epochs, fitted.variables
    steps, seconds = steps + fitted.steps, seconds + fitted.seconds
  fitted = fitted._replace(steps=steps, seconds=seconds)
  return Distilled(
    experiment,
    method.name,
    teacher,
    alone,
    fitted,
    cached,
    pretrained=start is not None,
  )


def train_scratch(
  experiment: Experiment, student: Model, start: Start = None
) -> Fitted:
  """Trains the student from labels alone: what every method is compared with.

  Args:
    experiment: As for `distil`.
    student: The student.
    start: As for `distil`.
  """
  return training.fit(
    experiment,
    Run(
      'scratch',
      student,
      experiment.task.objective,
      experiment.student_key,
      experiment.epochs,
      start=start_of(experiment, student, start),
    ),
  )


def _measured(experiment: Experiment, teacher: Network) -> Network:
  """The teacher with the task's measures; saved where it had not all."""
  if not training.is_measured(experiment, teacher):
    teacher = training.evaluate_network(experiment, teacher)
    stacked = jax.tree.map(lambda x: x[None], teacher.variables)
    found = {k: np.array([value]) for k, value in teacher.measures.items()}
    seeds = (experiment.budget.data_seed,)
    fitted = Fitted(teacher.model, stacked, found)
    training.save(experiment, 'teacher', fitted, seeds)
  return teacher


def _run(
  experiment: Experiment, student: Model, stage: Stage, teacher: Network
) -> Run:
  return Run(
    stage.name,
    student,
    stage.loss,
    experiment.student_key,
    stage.epochs,
    teacher,
    freeze_unreached=stage.freeze_unreached,
  )
