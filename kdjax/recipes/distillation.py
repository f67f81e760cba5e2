"""Distillation, beside the same student trained from scratch."""

from typing import NamedTuple

import jax
import numpy as np

from kdjax import training
from kdjax.methods import Method, Stage, of_loss
from kdjax.models import Model, Network
from kdjax.recipes.planning import check_devices, plan
from kdjax.tasks import Task
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
  """

  experiment: Experiment
  method: str
  teacher: Network
  scratch: Fitted | None
  distilled: Fitted
  cached: CachedTeacher | None = None

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
  alone = scratch if isinstance(scratch, Fitted) else None
  if scratch is True:
    alone = train_scratch(experiment, student)
  asked = teacher._replace(model=planned.teacher)
  cached = training.open_cache(experiment, asked, planned.kept)
  done, steps, seconds, start = 0, 0, 0.0, None
  for stage in planned.stages:  # each starts where the one before it ended
    run = _run(experiment, planned.student, stage, asked)
    run = run._replace(cached=cached, epochs_before=done, start=start)
    fitted = training.fit(experiment, run)
    done, start = done + stage.epochs, fitted.variables
    steps, seconds = steps + fitted.steps, seconds + fitted.seconds
  fitted = fitted._replace(steps=steps, seconds=seconds)
  return Distilled(experiment, method.name, teacher, alone, fitted, cached)


def train_scratch(experiment: Experiment, student: Model) -> Fitted:
  """Trains the student from labels alone: what every method is compared with.

  Args:
    experiment: As for `distil`.
    student: The student.
  """
  return training.fit(
    experiment,
    Run(
      'scratch',
      student,
      experiment.task.objective,
      experiment.student_key,
      experiment.epochs,
    ),
  )


def train_teacher(
  experiment: Experiment,
  model: Model,
  task: Task | None = None,
  *,
  epochs: int | None = None,
) -> Network:
  """Trains a teacher from labels; see `train_teachers`."""
  return train_teachers(experiment, model, task, epochs=epochs)[0]


def train_teachers(
  experiment: Experiment,
  model: Model,
  task: Task | None = None,
  *,
  epochs: int | None = None,
  members: int = 1,
  name: str = 'teacher',
) -> list[Network]:
  """Trains one or several teachers from labels, in one program.

  Args:
    experiment: As for `distil`.
    model: The teacher.
    task: With the examples that the teacher sees; the experiment's by default.
    epochs: How often it sees them; as many as make 1500 steps by default.
    members: How many teachers, of seeds `data_seed`, `data_seed + 1`, ...
    name: Names the run.

  Raises:
    DivergenceError: if the loss stops being finite.
    Interrupted: if a signal asked to stop.
  """
  own = experiment.for_teacher(task or experiment.task, epochs, members)
  check_devices(own)
  run = Run(name, model, own.task.objective, own.teacher_key, own.epochs)
  fitted = training.fit(own, run)
  return [fitted.network(place) for place in range(members)]


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
