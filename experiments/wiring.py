"""From options to objects: the door that names come in by."""

import pathlib
from collections.abc import Mapping, Sequence
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
  """One of the shipped networks, on images normalised as the data set is.

  It resizes images if the data set has an image size.
  """
  model = models.create(
    name,
    classes=dataset.classes,
    dtype=jnp.dtype(asked.precision),
    axis_name=training.AXIS if asked.sync_batch_norm else None,
  )
  model = models.normalised(model, dataset.mean, dataset.std)
  size = dataset.image_size
  return model if size is None else models.resized(model, size)


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
    if models.is_weights(place):
      return load_weights(
        place,
        dataset,
        asked.teacher,
        flag='teacher',
        mean=asked.teacher_mean,
        std=asked.teacher_std,
        precision=asked.precision,
      )
    directory, note = recipes.read_note(place)
    _check_note(directory, note, asked.teacher, dataset)
    return recipes.load(directory, precision=asked.precision)[0]
  except (checkpoint.CheckpointError, models.WeightsError) as error:
    raise OptionError('teacher_checkpoint', place, str(error)) from error


def load_weights(
  path: str,
  dataset: data.Dataset,
  name: str | None,
  *,
  flag: str,
  mean: str | None = None,
  std: str | None = None,
  precision: str = 'float32',
) -> Network:
  """The network in a file of weights, from PyTorch or `export`.

  Args:
    path: The file.
    dataset: Gives the number of classes and the size of the images.
    name: Which network it is; None where the file says so.
    flag: The flag that names it.
    mean: Mean per channel of its images, as shares of 255. Default: what the
      file says, or that of ImageNet.
    std: Standard deviation per channel, likewise.
    precision: Precision of the computation.

  Raises:
    CheckpointError: if nothing says which network it is, or it does not fit.
    WeightsError: if the file is missing, damaged, or of another network.
  """
  note = models.read_torch_note(path)
  if note:
    _check_note(pathlib.Path(path), note, name, dataset)
  elif name is None:
    raise checkpoint.CheckpointError(
      f'{path!r} does not say which network it holds: needs --{flag}'
    )
  model = models.create(
    str(note.get('model', name)),
    classes=dataset.classes,
    dtype=jnp.dtype(precision),
  )
  usual_mean, usual_std = models.IMAGENET
  model = models.normalised(
    model,
    models.shares(mean) if mean else note.get('mean', usual_mean),
    models.shares(std) if std else note.get('std', usual_std),
  )
  size = note.get('image_size', dataset.image_size)
  if size is not None:
    model = models.resized(model, size, resize=note.get('resize'))
  shape = (1, *dataset.image_shape)
  batch = {'image': jax.ShapeDtypeStruct(shape, jnp.uint8)}
  return models.load_torch(path, model, batch)


def _check_note(
  directory: pathlib.Path,
  note: Mapping[str, Any],
  name: str | None,
  dataset: data.Dataset,
) -> None:
  """Raises CheckpointError unless a saved network fits the data."""
  image: Any = note['batch'].get('image', {})
  wanted: dict[str, tuple[Any, Any]] = {
    'model': (note['model'], name or note['model']),
    'classes': (note.get('classes'), dataset.classes),
  }
  # A network that resizes takes images of all sizes.
  if note.get('image_size') is None or dataset.image_size is None:
    wanted['image_shape'] = image.get('shape'), list(dataset.image_shape)
  for field, (found, right) in wanted.items():
    if found != right:
      raise checkpoint.CheckpointError(
        f'{str(directory)!r} holds another network: its {field} is {found!r}, '
        f'not {right!r}'
      )
