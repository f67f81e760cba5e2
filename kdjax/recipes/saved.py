"""Saved networks: loaded from the note beside them, and exported."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import checkpoint, methods, models, tasks
from kdjax.models import Model, Network
from kdjax.training import AXIS


def load(
  directory: str | pathlib.Path,
  *,
  model: Model | None = None,
  precision: str | None = None,
) -> list[Network]:
  """The networks that a run has saved, one for each of its seeds.

  Args:
    directory: `workdir/teacher`, `workdir/distilled`, ..., or the workdir of a
      whole experiment, whose teacher is loaded; or a file of weights from
      PyTorch or `export`, which holds one network.
    model: What was saved; by default the note says which of the shipped
      networks it is. A file without a note needs it.
    precision: Precision of the computation; that of training by default.

  Returns:
    The networks, without measures.

  Raises:
    CheckpointError: if there is no model, or it is not the one that is asked
      for.
    WeightsError: if a file of weights is missing, unfit or damaged.
  """
  if models.is_weights(directory) and model:
    return [models.load_torch(directory, model)]
  directory, note = read_note(directory)
  model = model or _model(directory, note, precision)
  batch = tasks.batch_of_note(note['batch'])
  if models.is_weights(directory):
    return [models.load_torch(directory, model, batch)]
  template = jax.eval_shape(model.init, jax.random.key(0), batch)
  count = len(note['seeds'])
  stacked = checkpoint.restore(
    directory,
    jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), template
    ),
  )
  return [
    Network(model, jax.tree.map(lambda x, i=i: x[i], stacked))
    for i in range(count)
  ]


def export(
  directory: str | pathlib.Path,
  path: str | pathlib.Path,
  *,
  place: int = 0,
  library: str | None = None,
) -> Network:
  """Writes a saved network as a safetensors file for PyTorch.

  Args:
    directory: As for `load`.
    path: The file, `.safetensors`.
    place: Which of the saved networks; the first by default.
    library: Whose names the tensors get, see `models.save_torch`.

  Returns:
    The network.

  Raises:
    CheckpointError: if there is no such network.
    WeightsError: if the library has no such network, or the file cannot be
      written.
  """
  directory, note = read_note(directory)
  networks = load(directory)
  if not 0 <= place < len(networks):
    raise checkpoint.CheckpointError(
      f'{str(directory)!r} holds the seeds '
      f'{", ".join(map(str, note["seeds"]))}; there is no number {place}'
    )
  measures = {name: [x[place]] for name, x in note['measures'].items()}
  kept = {**note, 'seeds': [note['seeds'][place]], 'measures': measures}
  models.save_torch(path, networks[place], library=library, note=kept)
  return networks[place]


def read_note(
  directory: str | pathlib.Path,
) -> tuple[pathlib.Path, dict[str, Any]]:
  """The directory of saved networks, and the note of what they are.

  Args:
    directory: As for `load`.

  Raises:
    CheckpointError: if there are no saved networks, or a file of weights has no
      note, because `export` did not write it.
    WeightsError: if a file of weights is missing or damaged.
  """
  directory = pathlib.Path(directory)
  if models.is_weights(directory):
    note = models.read_torch_note(directory)
    if 'batch' not in note:
      raise checkpoint.CheckpointError(
        f'{str(directory)!r} does not say which network it holds'
      )
    return directory, note
  if (directory / 'teacher').is_dir():
    directory = directory / 'teacher'
  note = checkpoint.read_note(directory)
  if 'batch' not in note:
    raise checkpoint.CheckpointError(
      f'{str(directory)!r} holds another network: its note has no model'
    )
  return directory, note


def _model(
  directory: pathlib.Path, note: Mapping[str, Any], precision: str | None
) -> Model:
  """The shipped network that the note describes."""
  name = note.get('model')
  for known in (name, note.get('classifier_of')):
    if known is not None and known not in models.names():
      raise checkpoint.CheckpointError(
        f'{str(directory)!r} holds {known!r}, which kdjax does not ship; it '
        'can be loaded with the model itself'
      )

  def made(name: str) -> Model:
    dtype = jnp.dtype(precision or note['precision'])
    model = models.create(name, classes=note['classes'], dtype=dtype)
    model = models.normalised(model, note['mean'], note['std'])
    if note.get('image_size') is None:
      return model
    return models.resized(model, note['image_size'], resize=note['resize'])

  model = made(str(name))
  if note.get('classifier_of') is None:
    return model
  teacher = made(note['classifier_of'])
  batch = tasks.batch_of_note(note['batch'])
  params = jax.eval_shape(teacher.init, jax.random.key(0), batch).params
  return methods.reuse_classifier(model, teacher, params, batch, AXIS)
