"""What can be checked of a teacher's cache before there is one."""

import functools
import pathlib
import shutil
from collections.abc import Sequence

from kdjax import cache, data
from kdjax.cache.storage import row_bytes
from kdjax.models import ModelVariables
from kdjax.recipes import programs
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods import Stage
from kdjax.recipes.settings import Settings
from kdjax.recipes.teacher_cache import (
  Shapes,
  directory_of,
  fields_of,
  kept_as_of,
  outputs_kept,
  refused,
)

# More would crowd the device's memory.
_LARGEST_ON_DEVICE = 4 * 2**30


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
    SettingsError: if the cache is too large for the device, the disk or an
      epoch, or its directory holds something else or cannot be written to.
  """
  if settings.teacher_cache == 'none':
    return
  kept = outputs_kept(settings, dataset, stages)
  if not kept:
    return
  _check_size(settings, dataset, source, kept)
  if settings.teacher_cache_dir:
    fields = fields_of(settings, dataset, source)
    unknown = ['teacher'] if variables is None else []
    if variables is not None:
      fields['teacher'] = cache.fingerprint(variables)
    check = functools.partial(cache.check, ignore=unknown)
    refused(settings, directory_of(settings), check, fields)


def _check_size(
  settings: Settings, dataset: data.Dataset, source: data.Source, kept: Shapes
) -> None:
  """What is kept, and what an epoch takes of it, must find room."""
  views = programs.views_of(settings).total
  row = sum(
    row_bytes(x.shape[1:], kept_as_of(settings, name, x.dtype))
    for name, x in kept.items()
  )
  # No more views than there are, and than are seen.
  size = row * len(source) * min(views, settings.epochs)
  where = settings.teacher_cache
  if where == 'device':
    size, room = row * len(source) * views, _LARGEST_ON_DEVICE
  else:
    room = _free(directory_of(settings))
  if size > room:
    raise SettingsError(
      'teacher_cache',
      where,
      f'{", ".join(kept)} would take {size / 1e9:.1f} GB, there is room for '
      f'{room / 1e9:.1f}',
    )
  epoch = len(source) * sum(
    row_bytes(x.shape[1:], x.dtype) for x in kept.values()
  )
  if epoch > _LARGEST_ON_DEVICE and not programs.streams(
    settings, dataset, source
  ):
    raise SettingsError(
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
