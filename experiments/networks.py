"""The networks that the flags name: made, or loaded from saved ones."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments import common
from kdjax import checkpoint, data, models, recipes, tasks, training
from kdjax.models import Model, Network
from kdjax.options import OptionError


def make_teacher(given: common.Asked, dataset: data.Dataset) -> Model:
  """The untrained teacher that the options name."""
  default = 'mlp_teacher' if given[tasks.Options].is_digits else 'resnet20'
  network_options = given[models.Options]
  return make_model(
    network_options, dataset, network_options.teacher or default
  )


def make_student(given: common.Asked, dataset: data.Dataset) -> Model:
  """The untrained student that the options name."""
  default = 'mlp_student' if given[tasks.Options].is_digits else 'resnet8'
  network_options = given[models.Options]
  return make_model(
    network_options, dataset, network_options.student or default
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
  return _load('teacher', place, asked, dataset)[0]


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
  found = _load('student', place, asked, dataset)
  note = found[0].model.note
  if not asked.sync_batch_norm or note['model'] not in models.names():
    return found
  mean, std = tuple(note['mean']), tuple(note['std'])
  seen = dataset._replace(mean=mean, std=std)
  model = make_model(asked, seen, note['model'])
  return [network._replace(model=model) for network in found]


def _load(
  flag: str, place: str, asked: models.Options, dataset: data.Dataset
) -> list[Network]:
  """The networks in a directory or a file, which must fit the data.

  Args:
    flag: `teacher` or `student`, the flag that names the architecture.
    place: The directory or the file.
    asked: Gives the architecture, statistics of images and the precision.
    dataset: Gives the number of classes and the size of the images.
  """
  name, mean, std = (
    getattr(asked, field) for field in (flag, f'{flag}_mean', f'{flag}_std')
  )
  try:
    if models.is_weights(place):
      network = load_weights(
        place,
        dataset,
        name,
        flag=flag,
        mean=mean,
        std=std,
        precision=asked.precision,
      )
      return [network]
    directory, note = recipes.read_note(place)
    _check_note(directory, note, name, dataset)
    return recipes.load(directory, precision=asked.precision)
  except (checkpoint.CheckpointError, models.WeightsError) as error:
    raise OptionError(f'{flag}_checkpoint', place, str(error)) from error


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
