"""The teacher's outputs, kept: which, where, and whether still true."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import cache, data
from kdjax.cache.storage import row_bytes
from kdjax.models import ModelVariables
from kdjax.recipes import methods, networks, programs, reads
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods import Stage
from kdjax.recipes.run import Context
from kdjax.recipes.settings import Settings
from kdjax.training import CachedTeacher

# More would crowd the device's memory.
_LARGEST_ON_DEVICE = 4 * 2**30
# Views that a resident data set's teacher looks at together.
_CHUNK = 512
# Images that stand for a data set in its checksum.
_SAMPLE = 1000

Shapes = dict[str, jax.ShapeDtypeStruct]


def open_cache(
  context: Context,
  source: data.Source,
  variables: ModelVariables,
  stages: Sequence[Stage],
) -> CachedTeacher | None:
  """The cache that the settings ask for; None for a live teacher.

  Args:
    context: Settings, data, and the workdir, where it lies by default.
    source: The transfer set.
    variables: The teacher's.
    stages: What of the teacher's outputs they read is kept.

  Raises:
    SettingsError: if the directory holds something else.
  """
  settings, dataset = context.settings, context.dataset
  if settings.teacher_cache == 'none':
    return None
  directory = pathlib.Path(
    settings.teacher_cache_dir or context.workdir / 'teacher_cache'
  )
  if settings.teacher_cache != 'device':
    fields = _fields(settings, dataset, source, variables)
    _refused(settings, directory, cache.claim, fields)
  views = programs.views_of(settings)
  rows = len(source) * views.total
  storages = {
    name: _refused(settings, directory, _storage, settings, name, rows, shape)
    for name, shape in outputs_kept(settings, dataset, stages).items()
  }
  streamed = programs.streams(settings, dataset, source)
  return CachedTeacher(
    networks.teaching_model(settings, dataset),
    variables,
    views,
    functools.partial(programs.normalise, dataset),
    storages,
    chunk=settings.batch_size if streamed else min(_CHUNK, len(source)),
  )


def check_cache(
  settings: Settings,
  dataset: data.Dataset,
  source: data.Source,
  stages: Sequence[Stage],
  variables: ModelVariables | None,
) -> None:
  """What can be checked of a cache beforehand; makes and reads no outputs.

  Args:
    settings: Resolved settings.
    dataset: The data.
    source: The transfer set.
    stages: Of the method.
    variables: The teacher's, if it is trained already.

  Raises:
    SettingsError: if the cache is too large for the device, or its directory
      holds something else.
  """
  if settings.teacher_cache == 'device':
    size = len(source) * programs.views_of(settings).total
    size *= sum(
      row_bytes(shape.shape[1:], _kept_as(settings, shape.dtype))
      for shape in outputs_kept(settings, dataset, stages).values()
    )
    if size > _LARGEST_ON_DEVICE:
      raise SettingsError(
        'teacher_cache',
        'device',
        f'would take {size / 1e9:.1f} GB, must be at most '
        f'{_LARGEST_ON_DEVICE / 1e9:.1f}; memory_map and array_store take more',
      )
  elif settings.teacher_cache_dir and variables is not None:
    fields = _fields(settings, dataset, source, variables)
    directory = pathlib.Path(settings.teacher_cache_dir)
    _refused(settings, directory, cache.check, fields)


def outputs_kept(
  settings: Settings, dataset: data.Dataset, stages: Sequence[Stage]
) -> Shapes:
  """Shapes of the teacher's outputs that any of the stages reads."""
  image = programs.image_batch(dataset, settings.batch_size)

  def outputs(model):
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.eval_shape(model.apply, variables, image)[0]

  student = outputs(networks.distilled_model(settings, dataset))
  teacher = outputs(networks.teaching_model(settings, dataset))
  numbers = jax.ShapeDtypeStruct((settings.batch_size,), jnp.int32)
  weight = jax.ShapeDtypeStruct((settings.batch_size,), jnp.float32)
  batch = {'label': numbers, 'index': numbers, 'weight': weight, 'image': image}
  given = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype),
    (student, teacher, batch),
  )
  kept: Shapes = {}
  for stage in stages:
    init = functools.partial(stage.loss.init, jax.random.key(0))
    owned = jax.eval_shape(init, student, teacher)
    read = reads.read_by(stage.loss, owned, given, jax.local_devices()[:1])
    kept |= {name: teacher[name] for name in read[1]}
  return kept


def _storage(
  directory: pathlib.Path,
  settings: Settings,
  name: str,
  rows: int,
  shape: jax.ShapeDtypeStruct,
) -> cache.Storage:
  kept_as = _kept_as(settings, shape.dtype)
  row = shape.shape[1:]
  if settings.teacher_cache == 'device':
    return cache.DeviceStorage(rows, row, shape.dtype, kept_as=kept_as)
  make: Any = {
    'memory_map': cache.MemoryMap,
    'array_store': cache.ArrayStore,
  }[settings.teacher_cache]
  file = name.replace('/', '.')
  return make(directory, file, rows, row, shape.dtype, kept_as=kept_as)


def _kept_as(settings: Settings, dtype: Any) -> np.dtype:
  """Indices stay as they are; the precision is of real numbers."""
  if jnp.issubdtype(dtype, jnp.floating):
    return jnp.dtype(settings.teacher_cache_precision)
  return np.dtype(dtype)


def _fields(
  settings: Settings,
  dataset: data.Dataset,
  source: data.Source,
  variables: ModelVariables,
) -> dict[str, Any]:
  """All that the outputs depend on."""
  count = min(len(source), _SAMPLE)
  sample = source.fetch(np.arange(count) * len(source) // count)
  fields = {
    'teacher': cache.fingerprint(variables),
    'network': settings.teacher,
    'precision': settings.precision,
    'dataset': dataset.name,
    'examples': len(source),
    'images': cache.fingerprint(sample),
    'augmentation': settings.augmentation,
    'mean': list(dataset.mean),
    'std': list(dataset.std),
  }
  if methods.takes_top_k(settings.methods):
    fields |= {'top_k': settings.top_k, 'temperature': settings.temperature}
  return fields


def _refused(
  settings: Settings, directory: pathlib.Path, function: Callable, *args: Any
) -> Any:
  """Calls with the directory; what is wrong with it becomes one line."""
  try:
    return function(directory, *args)
  except cache.CacheError as error:
    value = settings.teacher_cache_dir
    raise SettingsError('teacher_cache_dir', value, str(error)) from error
