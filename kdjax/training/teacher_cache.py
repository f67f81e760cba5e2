"""The teacher's outputs, kept: which, where, and whether they still hold."""

import functools
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import cache
from kdjax.cache.storage import row_bytes
from kdjax.models import Model, ModelVariables, Network
from kdjax.options import OptionError
from kdjax.training import build
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.experiment import Experiment

Shapes = Mapping[str, jax.ShapeDtypeStruct]

# Views that the teacher of a resident data set looks at together.
_CHUNK = 512
# Examples that stand for a streamed data set in its checksum.
_SAMPLE = 1000
# More would crowd the device's memory.
_LARGEST_ON_DEVICE = 4 * 2**30
# Largest difference between what is kept and what the teacher answers now, as
# a share.
_TOLERANCE = {'float32': 1e-4, 'bfloat16': 1e-2}


def check_cache(
  experiment: Experiment,
  teacher: Model,
  variables: ModelVariables | None,
  kept: Shapes,
) -> None:
  """Checks what can be known of a cache beforehand; computes no outputs.

  Args:
    experiment: Data, budget and the options of the cache.
    teacher: The teacher.
    variables: Its variables, if it is trained already.
    kept: Shapes of the outputs that would be kept.

  Raises:
    OptionError: if the cache is too large for the device, the disk or an
      epoch, or its directory holds something else or cannot be written to.
  """
  asked = experiment.teacher_options
  if asked.cache == 'none' or not kept:
    return
  if asked.cache != 'device' and jax.process_count() > 1:
    raise OptionError(
      'teacher_cache',
      asked.cache,
      f'needs one process, there are {jax.process_count()}; device works with '
      'any number',
    )
  _check_size(experiment, kept)
  if asked.cache_dir:
    fields = _fields(experiment, teacher)
    unknown = ['teacher'] if variables is None else []
    if variables is not None:
      fields['teacher'] = cache.fingerprint(variables)
    check = functools.partial(cache.check, ignore=unknown)
    _refused(experiment, check, fields)


def open_cache(
  experiment: Experiment, teacher: Network, kept: Shapes
) -> CachedTeacher | None:
  """The cache that the options ask for; None for a live teacher.

  Args:
    experiment: Data, the options of the cache, and the workdir, where the
      cache lies by default.
    teacher: The teacher.
    kept: Shapes of the outputs to keep.

  Raises:
    OptionError: if the directory holds something else.
  """
  asked, task = experiment.teacher_options, experiment.task
  if asked.cache == 'none' or not kept:
    return None
  if asked.cache != 'device':
    fields = _fields(experiment, teacher.model)
    fields['teacher'] = cache.fingerprint(teacher.variables)
    _refused(experiment, cache.claim, fields)
  streamed = build.streams(experiment, task.train)
  cached = CachedTeacher(
    teacher.model,
    teacher.variables,
    task.views,
    {
      name: _refused(experiment, _storage, experiment, teacher.model, name, x)
      for name, x in kept.items()
    },
    chunk=(
      experiment.budget.batch_size if streamed else min(_CHUNK, len(task.train))
    ),
    devices=experiment.devices,
  )
  _refused(experiment, _verify, cached, experiment)
  return cached


def _directory(experiment: Experiment) -> pathlib.Path:
  """Where a cache on disk lies, or will."""
  if experiment.teacher_options.cache_dir:
    return pathlib.Path(experiment.teacher_options.cache_dir).expanduser()
  return experiment.workdir / 'teacher_cache'


def _verify(
  directory: pathlib.Path, cached: CachedTeacher, experiment: Experiment
) -> None:
  """Raises CacheError if the teacher's answers differ from what is kept."""
  allowed = _TOLERANCE[experiment.teacher_options.cache_precision]
  error = cached.largest_error(experiment.task.train)
  if not error <= allowed:
    raise cache.CacheError(
      f'{str(directory)!r} is stale: its outputs differ by {error:.2g} from '
      'what the teacher answers now (other code, or another platform); remove '
      'it or name another directory'
    )


def _storage(
  directory: pathlib.Path,
  experiment: Experiment,
  teacher: Model,
  name: str,
  shape: jax.ShapeDtypeStruct,
) -> cache.Storage:
  asked, task = experiment.teacher_options, experiment.task
  rows, row = len(task.train) * task.views.total, shape.shape[1:]
  kept_as = _kept_as(experiment, name, shape.dtype)
  if asked.cache == 'device':
    return cache.DeviceStorage(rows, row, shape.dtype, kept_as=kept_as)
  make: Any = {
    'memory_map': cache.MemoryMap,
    'array_store': cache.ArrayStore,
  }[asked.cache]
  file = name.replace('/', '.')
  if name.startswith('top_k_'):
    top_k = teacher.note['top_k']
    file += f'-k{top_k["k"]}-t{top_k["temperature"]:g}'
  return make(directory, file, rows, row, shape.dtype, kept_as=kept_as)


def _kept_as(experiment: Experiment, name: str, dtype: Any) -> np.dtype:
  """The precision that is asked for, but no wider than the output.

  Log probabilities keep theirs: rounded ones may add up to more than one.
  """
  wanted = jnp.dtype(experiment.teacher_options.cache_precision)
  dtype = jnp.dtype(dtype)
  if name.startswith('top_k_') or not jnp.issubdtype(dtype, jnp.floating):
    return dtype
  return min(dtype, wanted, key=lambda x: x.itemsize)


def _fields(experiment: Experiment, teacher: Model) -> dict[str, Any]:
  """What the outputs depend on, beside the teacher's variables."""
  source = experiment.task.train
  if build.streams(experiment, source):
    count = min(len(source), _SAMPLE)
    examples = source.fetch(np.arange(count) * len(source) // count)
  else:
    examples = source.arrays()
  seen = {name: x for name, x in examples.items() if name != 'label'}
  # What the best classes depend on is in the names of their files.
  note = {k: value for k, value in teacher.note.items() if k != 'top_k'}
  return {
    'format': 2,
    **note,
    'dataset': experiment.task.name,
    'examples': len(source),
    'inputs': cache.fingerprint(seen),
    'views': experiment.task.views.name,
  }


def _refused(experiment: Experiment, function: Callable, *args: Any) -> Any:
  """Calls with the directory; what is wrong with it becomes one line."""
  try:
    return function(_directory(experiment), *args)
  except (cache.CacheError, OSError) as error:
    value = experiment.teacher_options.cache_dir
    raise OptionError('teacher_cache_dir', value, str(error)) from error


def _check_size(experiment: Experiment, kept: Shapes) -> None:
  """Raises OptionError unless the cache, and an epoch of it, finds room."""
  source, views = experiment.task.train, experiment.task.views.total
  row = sum(
    row_bytes(x.shape[1:], _kept_as(experiment, name, x.dtype))
    for name, x in kept.items()
  )
  # Never more views than there are, nor than an experiment shows.
  size = row * len(source) * min(views, experiment.epochs)
  where = experiment.teacher_options.cache
  if where == 'device':
    size, room = row * len(source) * views, _LARGEST_ON_DEVICE
  else:
    room = _free(_directory(experiment))
  if size > room:
    raise OptionError(
      'teacher_cache',
      where,
      f'{", ".join(kept)} would take {size / 1e9:.1f} GB, there is room for '
      f'{room / 1e9:.1f}',
    )
  epoch = len(source) * sum(
    row_bytes(x.shape[1:], x.dtype) for x in kept.values()
  )
  if epoch > _LARGEST_ON_DEVICE and not build.streams(experiment, source):
    raise OptionError(
      'teacher_cache',
      where,
      f'{", ".join(kept)} of an epoch take {epoch / 1e9:.1f} GB of the device; '
      'needs --stream',
    )


def _free(directory: pathlib.Path) -> int:
  """Bytes for a cache: what is free, and what it has already."""
  used = sum(
    path.stat().st_blocks * 512
    for path in directory.rglob('*')
    if path.is_file()
  )
  place = directory.absolute()
  while not place.exists():
    place = place.parent
  return used + shutil.disk_usage(place).free
