"""From options to objects: the door that names come in by."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import common
from kdjax import checkpoint, data, methods, models, recipes, tasks, training
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


def asked() -> Wiring:
  """The objects that the flags describe, on the devices that they name.

  Raises:
    OptionError: if the flags do not fit the data or one another.
  """
  given = common.asked(*DISTILLATION)
  common.use_devices()
  return wire(given)


def wire(
  given: common.Asked, devices: Sequence[jax.Device] | None = None
) -> Wiring:
  """Opens the data, makes the networks and the method, reads the teacher.

  Args:
    given: From `common.asked(*DISTILLATION)`.
    devices: Which devices share the batch; all local ones by default.

  Raises:
    OptionError: if the options do not fit the data or one another.
  """
  data_options, network_options = given[tasks.Options], given[models.Options]
  budget = given[Budget]
  dataset, task = tasks.load(data_options)
  experiment = Experiment(
    tasks.transfer(data_options, task, budget.data_seed),
    budget,
    pathlib.Path(),
    teacher_options=given[TeacherOptions],
    devices=devices,
  )
  teacher = None
  if network_options.teacher_checkpoint:
    teacher = load_teacher(network_options, dataset)
  teacher_task = _teacher_task(given, experiment, task)
  start = load_students(given, dataset)
  return Wiring(
    given,
    experiment,
    dataset,
    teacher_task,
    start[0].model if start else make_student(given, dataset),
    teacher.model if teacher else make_teacher(given, dataset),
    teacher,
    methods.make(given[methods.Options]),
    _teacher_epochs(given),
    given[TeacherBudget].of(budget),
    given[recipes.Options].scratch,
    start,
  )


def _teacher_epochs(given: common.Asked) -> int | None:
  return given[recipes.Options].teacher_epochs or given[Budget].epochs


def _teacher_task(
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
  recipes.check_teacher(experiment, task, options, _teacher_epochs(given))
  return task


def make_student(given: common.Asked, dataset: data.Dataset) -> Model:
  """The untrained student that the options name."""
  default = 'mlp_student' if given[tasks.Options].is_digits else 'resnet8'
  network_options = given[models.Options]
  return make_model(
    network_options, dataset, network_options.student or default
  )


def make_teacher(given: common.Asked, dataset: data.Dataset) -> Model:
  """The untrained teacher that the options name."""
  default = 'mlp_teacher' if given[tasks.Options].is_digits else 'resnet20'
  network_options = given[models.Options]
  return make_model(
    network_options, dataset, network_options.teacher or default
  )


def make_model(
  asked: models.Options, dataset: data.Dataset, name: str
) -> Model:
  """One of the shipped networks, on images normalised as the data set is."""
  model = models.create(
    name,
    classes=dataset.classes,
    dtype=jnp.dtype(asked.precision),
    axis_name=training.AXIS if asked.sync_batch_norm else None,
  )
  return models.normalised(model, dataset.mean, dataset.std)


def make_models(
  given: common.Asked, dataset: data.Dataset, flag: str, names: str
) -> dict[str, Model]:
  """Several of the shipped networks, by name.

  Args:
    given: The options.
    dataset: What they learn from.
    flag: The flag that names them.
    names: Their names, with commas.

  Raises:
    OptionError: if there is no such network.
  """
  found = {}
  for name in (part.strip() for part in names.split(',')):
    if name in found:
      raise OptionError(flag, names, f'names {name} twice')
    if name not in models.names():
      allowed = f'must be one of {", ".join(models.names())}'
      raise OptionError(flag, name, allowed)
    found[name] = make_model(given[models.Options], dataset, name)
  return found


def load_teacher(asked: models.Options, dataset: data.Dataset) -> Network:
  """The first network in `teacher_checkpoint`.

  Raises:
    OptionError: if there is none, or it does not fit the options or the data.
  """
  place = str(asked.teacher_checkpoint)
  return _load('teacher_checkpoint', place, asked.teacher, asked, dataset)[0]


def load_students(
  given: common.Asked, dataset: data.Dataset
) -> list[Network] | None:
  """The networks in `student_checkpoint`, or None without that option.

  They normalise images as in the training that they had.

  Raises:
    OptionError: if there is none, or they do not fit the options or the data.
  """
  asked = given[models.Options]
  place = given[recipes.Options].student_checkpoint
  if place is None:
    return None
  found = _load('student_checkpoint', place, asked.student, asked, dataset)
  note = found[0].model.note
  if not asked.sync_batch_norm or note['model'] not in models.names():
    return found
  mean, std = tuple(note['mean']), tuple(note['std'])
  seen = dataset._replace(mean=mean, std=std)
  model = make_model(asked, seen, note['model'])
  return [network._replace(model=model) for network in found]


def _load(
  flag: str,
  place: str,
  name: str | None,
  asked: models.Options,
  dataset: data.Dataset,
) -> list[Network]:
  """The networks in a directory, which must have a name and fit the data."""
  try:
    directory, note = recipes.read_note(place)
    image: Any = note['batch'].get('image', {})
    wanted = {
      'model': (note['model'], name or note['model']),
      'classes': (note.get('classes'), dataset.classes),
      'image_shape': (image.get('shape'), list(dataset.image_shape)),
    }
    for what, (found, right) in wanted.items():
      if found != right:
        raise checkpoint.CheckpointError(
          f'{str(directory)!r} holds another network: its {what} is {found!r}, '
          f'not {right!r}'
        )
    return recipes.load(directory, precision=asked.precision)
  except checkpoint.CheckpointError as error:
    raise OptionError(flag, place, str(error)) from error
