"""From a request to an experiment: all that can be checked beforehand."""

import jax

from kdjax import data, transforms
from kdjax.recipes import methods, networks, programs
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
  if settings.teacher_checkpoint:
    networks.check_teacher_checkpoint(settings, dataset)
  return Experiment(settings, dataset, _stages(settings, dataset))


def prepare_teacher(settings: Settings) -> Experiment:
  """`prepare` for training a teacher alone: nothing of a student is checked."""
  try:
    parallel.check_batch_size(settings.batch_size)
  except ValueError as error:
    raise SettingsError(
      'batch_size',
      settings.batch_size,
      f'must be a multiple of the {parallel.device_count()} devices',
    ) from error
  try:
    dataset = data.load(settings.dataset, settings.data_dir)
  except data.DataError as error:
    raise SettingsError('dataset', settings.dataset, str(error)) from error
  return Experiment(settings.resolved(len(dataset.train)), dataset)


def _stages(
  settings: Settings, dataset: data.Dataset
) -> tuple[methods.Stage, ...]:
  """The method's stages, their taps and shapes checked."""
  image = programs.image_batch(dataset)
  outputs = []
  for name in (settings.student, settings.teacher):
    model = networks.make_model(settings, dataset, name)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    outputs.append(jax.eval_shape(model.apply, variables, image)[0])
  student, teacher = outputs
  stages = methods.stages(methods.Choice(settings, student, teacher))
  for stage in stages:
    try:
      jax.eval_shape(
        lambda loss=stage.loss: loss.init(jax.random.key(0), student, teacher)
      )
    except transforms.UnknownTapError as error:
      raise SettingsError(
        f'hint_{error.network}',
        error.name,
        f'must be one of {", ".join(error.known)}',
      ) from error
    except ValueError as error:
      raise SettingsError('method', settings.method, str(error)) from error
  return tuple(stages)
