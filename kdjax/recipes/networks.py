"""Networks with trained variables: made, loaded, evaluated."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax import checkpoint, data, models
from kdjax.models import Model, ModelVariables
from kdjax.recipes import methods, programs
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.reuse import reuse_classifier
from kdjax.recipes.run import Context
from kdjax.recipes.settings import Settings
from kdjax.recipes.training_run import Trained, describe
from kdjax.training import AXIS


class Network(NamedTuple):
  """A network and one trained set of its variables.

  Attributes:
    name: Of the architecture.
    model: The network.
    variables: Of one model, not stacked.
    accuracy: Fraction of the test set.
  """

  name: str
  model: Model
  variables: ModelVariables
  accuracy: float


def make_model(
  settings: Settings,
  dataset: data.Dataset,
  name: str,
  *,
  classifier_of: str | None = None,
  classifier_params: Any = None,
) -> Model:
  """One of the shipped networks, as the settings want it.

  Args:
    settings: The precision and the kind of batch norm.
    dataset: Gives classes, image shape, mean and standard deviation.
    name: Of the network.
    classifier_of: Name of a teacher whose classifier it answers with, or None.
    classifier_params: The classifier's; zeros where only shapes are wanted.

  Raises:
    SettingsError: if that teacher's classifier cannot be reused.
  """
  network = models.create(
    name,
    classes=dataset.classes,
    dtype=jnp.dtype(settings.precision),
    axis_name=AXIS if settings.sync_batch_norm else None,
  )
  model = models.normalised(network, dataset.mean, dataset.std)
  if classifier_of is None:
    return model
  teacher = make_model(settings, dataset, classifier_of)
  batch = programs.batch_shapes(dataset)
  return reuse_classifier(
    model, teacher, batch, classifier_of, classifier_params
  )


def teaching_model(settings: Settings, dataset: data.Dataset) -> Model:
  """The teacher, with the outputs that the method wants of it.

  Raises:
    SettingsError: if it has fewer classes than the method wants.
  """
  model = make_model(settings, dataset, settings.teacher)
  if not methods.takes_top_k(settings.methods):
    return model
  if settings.top_k > dataset.classes:
    raise SettingsError(
      'top_k', settings.top_k, f'must be at most the {dataset.classes} classes'
    )
  return models.with_top_k(
    model, settings.top_k, temperature=settings.temperature
  )


def reused_classifier(settings: Settings) -> str | None:
  """The teacher whose classifier the method's student answers with."""
  return (
    settings.teacher if methods.reuses_classifier(settings.methods) else None
  )


def distilled_model(
  settings: Settings,
  dataset: data.Dataset,
  teacher_variables: ModelVariables | None = None,
) -> Model:
  """The student as the method trains it.

  Args:
    settings: The method, and the networks' names.
    dataset: Gives classes and image shape.
    teacher_variables: The teacher's; None where only shapes are wanted.
  """
  params = teacher_variables.params if teacher_variables else {}
  return make_model(
    settings,
    dataset,
    settings.student,
    classifier_of=reused_classifier(settings),
    classifier_params=params.get('head'),
  )


def load_variables(
  settings: Settings,
  dataset: data.Dataset,
  directory: str | pathlib.Path,
  name: str,
  classifier_of: str | None = None,
) -> ModelVariables:
  """The models that a run has saved, stacked.

  Args:
    settings: Of the models; only the precision of the computation matters.
    dataset: What the models must fit.
    directory: `workdir/teacher`, `workdir/distilled`, ...
    name: The architecture that is wanted.
    classifier_of: The teacher whose classifier it answers with, or None.

  Raises:
    CheckpointError: if there is no model, or it has another architecture,
      other classes or another image shape.
  """
  note = checkpoint.read_note(directory)
  wanted = {
    'model': name,
    'classifier_of': classifier_of,
    'classes': dataset.classes,
    'image_shape': list(dataset.image_shape),
  }
  for key, value in wanted.items():
    if note.get(key) != value:
      raise checkpoint.CheckpointError(
        f'{str(directory)!r} holds another network: its {key} is '
        f'{note.get(key)!r}, not {value!r}'
      )
  model = make_model(settings, dataset, name, classifier_of=classifier_of)
  batch = programs.batch_shapes(dataset)
  template = jax.eval_shape(model.init, jax.random.key(0), batch)
  count = len(note['seeds'])
  return checkpoint.restore(
    directory,
    jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), template
    ),
  )


def check_teacher_checkpoint(
  settings: Settings, dataset: data.Dataset
) -> ModelVariables:
  """The first model in `teacher_checkpoint`, stacked.

  Raises:
    SettingsError: if it is not a `settings.teacher` for these data.
  """
  directory = pathlib.Path(str(settings.teacher_checkpoint))
  if (directory / 'teacher').is_dir():  # the workdir of a whole experiment
    directory = directory / 'teacher'
  name = settings.teacher
  try:
    stacked = load_variables(settings, dataset, directory, name)
  except checkpoint.CheckpointError as error:
    raise SettingsError(
      'teacher_checkpoint', settings.teacher_checkpoint, str(error)
    ) from error
  return jax.tree.map(lambda x: x[:1], stacked)


def reused_teacher(context: Context) -> Network:
  """The teacher of `teacher_checkpoint`, saved beside the students too."""
  settings, dataset = context.settings, context.dataset
  name = settings.teacher
  stacked = check_teacher_checkpoint(settings, dataset)
  model = make_model(settings, dataset, name)
  values = programs.evaluate_models(settings, dataset, model, stacked)
  accuracy = values['accuracy']
  note = describe(context, name, (settings.data_seed,), accuracy)
  checkpoint.save(context.workdir / 'teacher', 0, stacked, note)
  return Network(name, model, first(stacked), float(accuracy[0]))


def first_network(name: str, model: Model, trained: Trained) -> Network:
  """The first of the models that a run has trained."""
  return Network(
    name, model, first(trained.variables), float(trained.accuracy[0])
  )


def first(stacked: ModelVariables) -> ModelVariables:
  """The first of stacked models."""
  return jax.tree.map(lambda x: x[0], stacked)
