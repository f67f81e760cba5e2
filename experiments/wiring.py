"""From options to objects: the door that names come in by."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax

from experiments import common, networks
from kdjax import data, methods, models, recipes, tasks
from kdjax.methods import Method
from kdjax.models import Model, Network
from kdjax.options import OptionError
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment, TeacherBudget, TeacherOptions

# The options of `distill` and its kin, in the order of --help.
DISTILLATION = (
  tasks.Options,
  models.Options,
  methods.Options,
  recipes.Options,
  Budget,
  TeacherBudget,
  TeacherOptions,
)


class Wiring(NamedTuple):
  """The objects of a distillation, checked.

  Attributes:
    given: The options, by class.
    experiment: Without working directory and observer.
    dataset: The data.
    task: With the training examples that the teacher sees; the experiment's
      task has those of the student.
    student: The student.
    teacher_model: The teacher.
    teacher: The teacher, if it is trained already.
    method: The method.
    teacher_epochs: Length of the teacher's training.
    teacher_budget: Budget of the teacher's training.
    scratch: Whether to train the student from scratch too.
    start: Trained students to start from, or None.
    extended_from: Epochs of the finished run that is to go on, or None.
  """

  given: common.Asked
  experiment: Experiment
  dataset: data.Dataset
  task: Task
  student: Model
  teacher_model: Model
  teacher: Network | None
  method: Method
  teacher_epochs: int | None
  teacher_budget: Budget
  scratch: bool
  start: list[Network] | None
  extended_from: int | None = None

  def taught(self, experiment: Experiment) -> Network:
    """The teacher: the one that was loaded, or else one trained now."""
    return self.teacher or recipes.train_teacher(
      experiment,
      self.teacher_model,
      self.task,
      epochs=self.teacher_epochs,
      budget=self.teacher_budget,
    )


class Opened:
  """Data sets and trained teachers that several wirings share.

  Attributes:
    load: `tasks.load`; opens each data set once.
    load_teacher: `load_teacher`; reads each teacher once.
  """

  def __init__(self) -> None:
    self.load = functools.cache(tasks.load)
    self.load_teacher = functools.cache(networks.load_teacher)


def asked() -> Wiring:
  """The objects that the flags describe, on the devices that they name.

  Raises:
    OptionError: if the flags do not fit the data or one another.
  """
  given = common.asked(*DISTILLATION)
  common.use_devices()
  return wire(given)


def wire(
  given: common.Asked,
  devices: Sequence[jax.Device] | None = None,
  opened: Opened | None = None,
) -> Wiring:
  """Opens the data, makes the networks and the method, reads the teacher.

  Args:
    given: From `common.asked(*DISTILLATION)`.
    devices: Which devices share the batch; all local ones by default.
    opened: What other wirings have opened.

  Raises:
    OptionError: if the options do not fit the data or one another.
  """
  data_options, network_options = given[tasks.Options], given[models.Options]
  budget, opened = given[Budget], opened or Opened()
  dataset, task = opened.load(data_options)
  experiment = Experiment(
    tasks.transfer(data_options, task, budget.data_seed),
    budget,
    pathlib.Path(),
    teacher_options=given[TeacherOptions],
    devices=devices,
  )
  teacher = None
  if network_options.teacher_checkpoint:
    # The student's options would make it another teacher.
    of_teacher = dataclasses.replace(
      network_options, student=None, student_mean=None, student_std=None
    )
    teacher = opened.load_teacher(of_teacher, dataset)
  start = networks.load_students(given, dataset)
  return Wiring(
    given,
    experiment,
    dataset,
    teacher_task(given, experiment, task),
    start[0].model if start else networks.make_student(given, dataset),
    teacher.model if teacher else networks.make_teacher(given, dataset),
    teacher,
    methods.make(given[methods.Options]),
    teacher_epochs(given),
    given[TeacherBudget].of(budget),
    given[recipes.Options].scratch,
    start,
  )


def teacher_epochs(given: common.Asked) -> int | None:
  """How often the teacher sees its examples; None for the default."""
  return given[recipes.Options].teacher_epochs or given[Budget].epochs


def teacher_task(
  given: common.Asked, experiment: Experiment, task: Task
) -> Task:
  """The task with the teacher's examples, on which it can be trained.

  Raises:
    OptionError: if the teacher's options do not fit the data, one another, or
      a teacher that is trained already.
  """
  options = given[TeacherBudget]
  if given[models.Options].teacher_checkpoint:
    for name, value in options.given().items():
      raise OptionError(
        options.prefix + name,
        value,
        'needs a teacher that is trained here, without teacher_checkpoint',
      )
    return task
  seed = experiment.budget.data_seed
  task = recipes.fewer_examples(task, options.examples, seed)
  recipes.check_teacher(experiment, task, options, teacher_epochs(given))
  return task
