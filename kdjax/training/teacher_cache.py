"""The cache of a teacher's outputs: its contents, place and validity."""

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

# Number of views in one teacher pass over a resident data set.
_CHUNK = 512
# Number of examples in the checksum of a streamed data set.
_SAMPLE = 1000
# Larger outputs would fill the device's memory.
_LARGEST_ON_DEVICE = 4 * 2**30
# Largest relative difference between kept and newly computed outputs.
_TOLERANCE = {'float32': 1e-4, 'bfloat16': 1e-2}


def check_cache(
  experiment: Experiment,
  teacher: Model,
  variables: ModelVariables | None,
  kept: Shapes,
) -> None:
  """Checks a cache before training; computes no outputs.

  Args:
    experiment: Gives the data, the budget and the options of the cache.
    teacher: The teacher.
    variables: Variables of the teacher; None if it is not trained yet.
    kept: Shapes of the outputs to keep.

  Raises:
    OptionError: if images are mixed; if the cache does not work with several
      processes, does not fit on the device or the disk, or an epoch of it does
      not fit on the device; or if its directory holds other outputs or is not
      writable.
  """
  asked = experiment.teacher_options
  if asked.cache == 'none' or not kept:
    return
  if experiment.task.views.mix is not None:
    raise OptionError(
      'teacher_cache',
      asked.cache,
      'cannot hold mixed images; must be none with mixup or cutmix',
    )
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
  """Returns the cache of the options; None for a live teacher.

  Args:
    experiment: Gives the data, the options of the cache, and the workdir, which
      holds the cache by default.
    teacher: The teacher.
    kept: Shapes of the outputs to keep.

  Raises:
    OptionError: if the directory holds other outputs.
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
  """Returns the directory of a cache on disk, which may not exist yet."""
  given = experiment.teacher_options.cache_dir
  whole = pathlib.Path(given or experiment.workdir / 'teacher_cache')
  # Each part of an experiment may have a teacher of its own.
  return whole.expanduser() / experiment.prefix


def _verify(
  directory: pathlib.Path, cached: CachedTeacher, experiment: Experiment
) -> None:
  """Raises CacheError if the teacher's outputs differ from kept outputs."""
  allowed = _TOLERANCE[experiment.teacher_options.cache_precision]
  error = cached.largest_error(experiment.task.train)
  if not error <= allowed:
    raise cache.CacheError(
      f'{str(directory)!r} is stale: its outputs differ by {error:.2g} from '
      "the teacher's outputs now (other code, or another platform); remove "
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
  """Returns the requested precision, at most the precision of the output.

  Log probabilities keep their precision, because rounded probabilities may add
  up to more than one.
  """
  wanted = jnp.dtype(experiment.teacher_options.cache_precision)
  dtype = jnp.dtype(dtype)
  if name.startswith('top_k_') or not jnp.issubdtype(dtype, jnp.floating):
    return dtype
  return min(dtype, wanted, key=lambda x: x.itemsize)


def _fields(experiment: Experiment, teacher: Model) -> dict[str, Any]:
  """Returns everything outputs depend on except the teacher's variables."""
  source = experiment.task.train
  if build.streams(experiment, source):
    count = min(len(source), _SAMPLE)
    examples = source.fetch(np.arange(count) * len(source) // count)
  else:
    examples = source.arrays()
  seen = {name: x for name, x in examples.items() if name != 'label'}
  # The file names of the best classes contain `k` and the temperature.
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
  """Calls a function with the directory; turns errors into OptionError."""
  try:
    return function(_directory(experiment), *args)
  except (cache.CacheError, OSError) as error:
    place = experiment.teacher_options.cache_dir or _directory(experiment)
    raise OptionError('teacher_cache_dir', place, str(error)) from error


def _check_size(experiment: Experiment, kept: Shapes) -> None:
  """Raises OptionError unless the cache and an epoch of it fit."""
  source, views = experiment.task.train, experiment.task.views.total
  row = sum(
    row_bytes(x.shape[1:], _kept_as(experiment, name, x.dtype))
    for name, x in kept.items()
  )
  # An experiment shows at most one new view of an example per epoch.
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
  """Returns the bytes for a cache: free bytes and the cache's own bytes."""
  used = sum(
    path.stat().st_blocks * 512
    for path in directory.rglob('*')
    if path.is_file()
  )
  place = directory.absolute()
  while not place.exists():
    place = place.parent
  return used + shutil.disk_usage(place).free
