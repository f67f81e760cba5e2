"""From a request to an experiment: all that can be checked beforehand."""

from collections.abc import Sequence

import jax

from kdjax import data, models, transforms
from kdjax.recipes import cache_checks, methods, networks, programs
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.run import Experiment
from kdjax.recipes.settings import Settings
from kdjax.training import parallel


def prepare(settings: Settings) -> Experiment:
  """Loads the data and checks everything that needs no training.

  Raises:
    SettingsError: for settings that do not fit the data, the networks or the
      devices, and for a data set that is not there.
  """
  experiment = prepare_teacher(settings)
  settings, dataset, _ = experiment
  variables = None
  if settings.teacher_checkpoint:
    stacked = networks.check_teacher_checkpoint(settings, dataset)
    variables = networks.first(stacked)
  source = transfer_set(settings, dataset)
  found = stages(settings, dataset, source)
  cache_checks.check_cache(settings, dataset, source, found, variables)
  return Experiment(settings, dataset, source)


def prepare_teacher(
  settings: Settings, devices: Sequence[jax.Device] | None = None
) -> Experiment:
  """`prepare` for training a teacher alone: nothing of a student is checked."""
  try:
    parallel.check_batch_size(settings.batch_size, devices)
  except ValueError as error:
    raise SettingsError(
      'batch_size',
      settings.batch_size,
      f'must be a multiple of the {parallel.device_count(devices)} devices',
    ) from error
  try:
    dataset = data.load(settings.dataset, settings.data_dir)
  except data.DataError as error:
    raise SettingsError('dataset', settings.dataset, str(error)) from error
  return Experiment(settings.resolved(len(dataset.train)), dataset)


def transfer_set(settings: Settings, dataset: data.Dataset) -> data.Source:
  """The examples that the student sees."""
  source, examples = dataset.train, settings.transfer_examples
  if examples == len(source):
    return source
  subset = data.transfer_subset(settings.data_seed, source.labels(), examples)
  return source.take(subset)


def stages(
  settings: Settings,
  dataset: data.Dataset,
  source: data.Source,
  teacher_variables: models.ModelVariables | None = None,
) -> tuple[methods.Stage, ...]:
  """The method's stages, their taps and shapes checked.

  Args:
    settings: Resolved settings.
    dataset: The data.
    source: The transfer set.
    teacher_variables: The teacher's; None to check before there are any.

  Raises:
    SettingsError: if a tap does not exist, or does not fit its loss.
  """
  batch = programs.batch_shapes(dataset)
  shapes, outputs = {}, {}
  for network, model in (
    ('student', networks.distilled_model(settings, dataset)),
    ('teacher', networks.teaching_model(settings, dataset)),
  ):
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    shapes[network] = variables
    outputs[network] = jax.eval_shape(model.apply, variables, batch)[0]
  choice = methods.Choice(
    settings=settings,
    **outputs,
    teacher_params=(teacher_variables or shapes['teacher']).params,
    labels=source.labels(),
    steps_per_epoch=-(-len(source) // settings.batch_size),
  )
  try:
    found = methods.stages(choice)
    for stage in found:
      jax.eval_shape(
        lambda loss=stage.loss: loss.init(
          jax.random.key(0), outputs['student'], outputs['teacher']
        )
      )
  except transforms.UnknownTapError as error:
    raise SettingsError(
      f'hint_{error.network}',
      error.name,
      f'must be one of {", ".join(error.known)}',
    ) from error
  except SettingsError:
    raise
  except ValueError as error:
    raise SettingsError('method', settings.method, str(error)) from error
  return tuple(found)
