"""Options of the teacher's outputs: live, several batches ahead, or cached."""

import dataclasses

from kdjax import options

CACHES = ('none', 'device', 'memory_map', 'array_store')
PRECISIONS = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherOptions(options.Options):
  """Teacher's outputs."""

  prefix = 'teacher_'

  batches: int = options.option(
    2,
    'Number of batches that the teacher answers in one pass, ahead of the '
    'students, if an epoch is one program; 1 or more.',
    options.AT_LEAST_ONE,
  )
  cache: str = options.option(
    'none',
    "Storage of the teacher's outputs, which are computed once for every view "
    f'of an example; one of {", ".join(CACHES)}. none runs the teacher in '
    'every epoch.',
    options.one_of(CACHES),
  )
  cache_dir: str | None = options.option(
    None,
    'Directory of the memory_map or array_store. Runs with the same teacher '
    'may share it. Default: teacher_cache in the workdir.',
  )
  cache_precision: str = options.option(
    'float32',
    f'Precision of the kept outputs; one of {", ".join(PRECISIONS)}.',
    options.one_of(PRECISIONS),
  )

  def __post_init__(self) -> None:
    """Raises OptionError also for options that no cache would use."""
    super().__post_init__()
    if self.cache_precision != PRECISIONS[0] and self.cache == CACHES[0]:
      raise options.OptionError(
        'teacher_cache_precision',
        self.cache_precision,
        f'needs teacher_cache={", ".join(CACHES[1:])}',
      )
    if self.cache_dir and self.cache in CACHES[:2]:
      raise options.OptionError(
        'teacher_cache_dir',
        self.cache_dir,
        f'needs teacher_cache={" or ".join(CACHES[2:])}, it is {self.cache}',
      )
