"""What values settings may have."""

from typing import TYPE_CHECKING

from kdjax import models
from kdjax.recipes.errors import SettingsError
from kdjax.training import optimizers

if TYPE_CHECKING:
  from kdjax.recipes.settings import Settings

PRECISIONS = ('float32', 'bfloat16')
CACHES = ('none', 'device', 'memory_map', 'array_store')
AUGMENTATIONS = ('none', 'shift', 'pad_crop_flip')

_POSITIVE = ('temperature', 'learning_rate')
_AT_LEAST_ONE = ('batch_size', 'seeds', 'top_k', 'teacher_batches')
_NOT_NEGATIVE = (
  'hint_weight',
  'distance_weight',
  'angle_weight',
  'weight_decay',
  'clip_norm',
  'epochs',
  'teacher_epochs',
  'hint_epochs',
  'checkpoint_every',
)


def check_choices(settings: 'Settings') -> None:
  """Raises SettingsError for a name that there is not."""
  choices = {
    'teacher': models.names(),
    'student': models.names(),
    'augmentation': AUGMENTATIONS,
    'optimizer': optimizers.OPTIMIZERS,
    'schedule': optimizers.SCHEDULES,
    'precision': PRECISIONS,
    'teacher_cache': CACHES,
    'teacher_cache_precision': PRECISIONS,
  }
  for name, allowed in choices.items():
    value = getattr(settings, name)
    if value not in allowed and value != getattr(type(settings), name):
      raise SettingsError(name, value, f'must be one of {", ".join(allowed)}')


def check_ranges(settings: 'Settings') -> None:
  """Raises SettingsError for a number out of range."""
  finite = float('inf')
  for names, good, allowed in (
    (_POSITIVE, lambda x: 0 < x < finite, 'must be above 0 and finite'),
    (('alpha',), lambda x: 0 <= x <= 1, 'must be within 0 and 1'),
    (_NOT_NEGATIVE, lambda x: 0 <= x < finite, 'must be 0 or more, finite'),
    (_AT_LEAST_ONE, lambda x: x >= 1, 'must be 1 or more'),
    (('transfer_examples',), lambda x: x >= -1, 'must be -1 or more'),
    (
      ('seed', 'data_seed'),
      lambda x: 0 <= x < 2**32 - settings.seeds,
      'must be 0 or more, below 2**32 less the number of seeds',
    ),
  ):
    for name in names:
      value = getattr(settings, name)
      if value is not None and not good(value):
        raise SettingsError(name, value, allowed)


def check_cache(settings: 'Settings') -> None:
  """Raises SettingsError for what no cache would use."""
  if settings.teacher_cache_precision != PRECISIONS[0] and (
    settings.teacher_cache == CACHES[0]
  ):
    raise SettingsError(
      'teacher_cache_precision',
      settings.teacher_cache_precision,
      f'needs teacher_cache={", ".join(CACHES[1:])}',
    )
  if settings.teacher_cache_dir and settings.teacher_cache in CACHES[:2]:
    raise SettingsError(
      'teacher_cache_dir',
      settings.teacher_cache_dir,
      f'needs teacher_cache={" or ".join(CACHES[2:])}, it is '
      f'{settings.teacher_cache}',
    )
