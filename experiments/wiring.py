"""From options to objects: the door that names come in by."""

import dataclasses
import functools
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
from kdjax.training import Budget, Experiment, TeacherOptions

# The options of `distill` and its kin, in the order of --help.
DISTILLATION = (
  tasks.Options,
  models.Options,
  methods.Options,
  recipes.Options,
  Budget,
  TeacherOptions,
)


class Wiring(NamedTuple):
  """The objects of a distillation, checked.

  Attributes:
    given: The options, by class.
    experiment: Without working directory and observer.
    dataset: The data.
    task: With all training examples, as the teacher sees them; the
      experiment's task has those of the student.
    student: The student.
    teacher_model: The teacher.
    teacher: The teacher, if it is trained already.
    method: The method.
    teacher_epochs: Length of the teacher's training.
    scratch: Whether to train the student from scratch too.
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
  scratch: bool

  def taught(self, experiment: Experiment) -> Network:
    """The teacher: the one that was loaded, or else one trained now."""
    return self.teacher or recipes.train_teacher(
      experiment, self.teacher_model, self.task, epochs=self.teacher_epochs
    )


class Opened:
  """Data sets and trained teachers that several wirings share.

  Attributes:
    load: `tasks.load`; opens each data set once.
    load_teacher: `load_teacher`; reads each teacher once.
  """

  def __init__(self) -> None:
    self.load = functools.cache(tasks.load)
    self.load_teacher = functools.cache(load_teacher)


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
    # The student's name would make it another teacher.
    of_teacher = dataclasses.replace(network_options, student=None)
    teacher = opened.load_teacher(of_teacher, dataset)
  digits = data_options.is_digits
  student = network_options.student or ('mlp_student' if digits else 'resnet8')
  return Wiring(
    given,
    experiment,
    dataset,
    task,
    make_model(network_options, dataset, student),
    teacher.model if teacher else make_teacher(given, dataset),
    teacher,
    methods.make(given[methods.Options]),
    given[recipes.Options].teacher_epochs or budget.epochs,
    given[recipes.Options].scratch,
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
  try:
    directory, note = recipes.read_note(place)
    image: Any = note['batch'].get('image', {})
    wanted = {
      'model': (note['model'], asked.teacher or note['model']),
      'classes': (note.get('classes'), dataset.classes),
      'image_shape': (image.get('shape'), list(dataset.image_shape)),
    }
    for name, (found, right) in wanted.items():
      if found != right:
        raise checkpoint.CheckpointError(
          f'{str(directory)!r} holds another network: its {name} is {found!r}, '
          f'not {right!r}'
        )
    return recipes.load(directory, precision=asked.precision)[0]
  except checkpoint.CheckpointError as error:
    raise OptionError('teacher_checkpoint', place, str(error)) from error
