"""The teacher's outputs, kept: which, where, and whether still true."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import cache, data
from kdjax.models import ModelVariables
from kdjax.recipes import networks, programs, reads
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods import Stage
from kdjax.recipes.run import Context
from kdjax.recipes.settings import Settings
from kdjax.training import CachedTeacher

# Views that a resident data set's teacher looks at together.
_CHUNK = 512
# Images that stand for a streamed data set in its checksum.
_SAMPLE = 1000
# Between what is kept and what the teacher answers now, as a share.
_TOLERANCE = {'float32': 1e-4, 'bfloat16': 1e-2}

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
  kept = outputs_kept(settings, dataset, stages)
  if not kept:
    return None
  directory = directory_of(settings, context.workdir)
  if settings.teacher_cache != 'device':
    fields = fields_of(settings, dataset, source)
    fields['teacher'] = cache.fingerprint(variables)
    refused(settings, directory, cache.claim, fields)
  views = programs.views_of(settings)
  rows = len(source) * views.total
  storages = {
    name: refused(settings, directory, _storage, settings, name, rows, shape)
    for name, shape in kept.items()
  }
  streamed = programs.streams(settings, dataset, source)
  cached = CachedTeacher(
    networks.teaching_model(settings, dataset),
    variables,
    views,
    storages,
    chunk=settings.batch_size if streamed else min(_CHUNK, len(source)),
  )
  refused(settings, directory, _verify, cached, settings, source)
  return cached


def directory_of(
  settings: Settings, workdir: pathlib.Path | None = None
) -> pathlib.Path:
  """Where a cache on disk lies, or will."""
  if settings.teacher_cache_dir:
    return pathlib.Path(settings.teacher_cache_dir).expanduser()
  return (workdir or pathlib.Path()) / 'teacher_cache'


def _verify(
  directory: pathlib.Path,
  cached: CachedTeacher,
  settings: Settings,
  source: data.Source,
) -> None:
  """Raises CacheError if the teacher answers otherwise than is kept."""
  allowed = _TOLERANCE[settings.teacher_cache_precision]
  error = cached.largest_error(source)
  if not error <= allowed:
    raise cache.CacheError(
      f'{str(directory)!r} is stale: its outputs differ by {error:.2g} from '
      'what the teacher answers now (other code, or another platform); remove '
      'it or name another directory'
    )


def outputs_kept(
  settings: Settings, dataset: data.Dataset, stages: Sequence[Stage]
) -> Shapes:
  """Shapes of the teacher's outputs that any of the stages reads."""
  return reads.of_teacher(
    (stage.loss for stage in stages),
    networks.distilled_model(settings, dataset),
    networks.teaching_model(settings, dataset),
    programs.batch_shapes(dataset, settings.batch_size),
  )


def _storage(
  directory: pathlib.Path,
  settings: Settings,
  name: str,
  rows: int,
  shape: jax.ShapeDtypeStruct,
) -> cache.Storage:
  kept_as = kept_as_of(settings, name, shape.dtype)
  row = shape.shape[1:]
  if settings.teacher_cache == 'device':
    return cache.DeviceStorage(rows, row, shape.dtype, kept_as=kept_as)
  make: Any = {
    'memory_map': cache.MemoryMap,
    'array_store': cache.ArrayStore,
  }[settings.teacher_cache]
  file = name.replace('/', '.')
  if name.startswith('top_k_'):
    file += f'-k{settings.top_k}-t{settings.temperature:g}'
  return make(directory, file, rows, row, shape.dtype, kept_as=kept_as)


def kept_as_of(settings: Settings, name: str, dtype: Any) -> np.dtype:
  """As precise as is wanted, but no wider than it comes.

  Log probabilities stay as they are: rounded ones may add up to more than one.
  """
  dtype, wanted = jnp.dtype(dtype), jnp.dtype(settings.teacher_cache_precision)
  if name.startswith('top_k_') or not jnp.issubdtype(dtype, jnp.floating):
    return dtype
  return min(dtype, wanted, key=lambda x: x.itemsize)


def fields_of(
  settings: Settings, dataset: data.Dataset, source: data.Source
) -> dict[str, Any]:
  """What the outputs depend on, beside the teacher's variables."""
  if programs.streams(settings, dataset, source):
    count = min(len(source), _SAMPLE)
    images = source.fetch(np.arange(count) * len(source) // count)['image']
  else:
    images = source.arrays()['image']
  return {
    'format': 1,
    'network': settings.teacher,
    'precision': settings.precision,
    'dataset': dataset.name,
    'examples': len(source),
    'images': cache.fingerprint(images),
    'augmentation': settings.augmentation,
    'mean': list(dataset.mean),
    'std': list(dataset.std),
  }


def refused(
  settings: Settings, directory: pathlib.Path, function: Callable, *args: Any
) -> Any:
  """Calls with the directory; what is wrong with it becomes one line."""
  try:
    return function(directory, *args)
  except (cache.CacheError, OSError) as error:
    value = settings.teacher_cache_dir
    raise SettingsError('teacher_cache_dir', value, str(error)) from error
