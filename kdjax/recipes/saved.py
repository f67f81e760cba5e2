"""Saved networks: loaded from the note beside them, and evaluated."""

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
      whole experiment, whose teacher is loaded.
    model: What was saved; by default the note says which of the shipped
      networks it is.
    precision: Precision of the computation; that of training by default.

  Returns:
    The networks, without measures.

  Raises:
    CheckpointError: if there is no model, or it is not the one that is asked
      for.
  """
  directory, note = read_note(directory)
  model = model or _model(directory, note, precision)
  batch = tasks.batch_of_note(note['batch'])
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


def read_note(
  directory: str | pathlib.Path,
) -> tuple[pathlib.Path, dict[str, Any]]:
  """The directory of saved networks, and the note of what they are.

  Raises:
    CheckpointError: if there are no saved networks.
  """
  directory = pathlib.Path(directory)
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
