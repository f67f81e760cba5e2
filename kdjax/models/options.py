"""Options of the teacher and student networks."""

import dataclasses

from kdjax import options
from kdjax.models import zoo

PRECISIONS = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Networks."""

  teacher: str | None = options.option(
    None,
    f'Teacher; one of {", ".join(zoo.names())}. Default: mlp_teacher for '
    'digits, resnet20 otherwise.',
    options.one_of(zoo.names()),
  )
  student: str | None = options.option(
    None,
    'Student; one of the same names. Default: mlp_student for digits, resnet8 '
    'otherwise.',
    options.one_of(zoo.names()),
  )
  teacher_checkpoint: str | None = options.option(
    None, 'Directory of a trained teacher; without it a teacher is trained.'
  )
  precision: str = options.option(
    'float32',
    f'Precision of the networks, one of {", ".join(PRECISIONS)}; parameters '
    'and losses are float32.',
    options.one_of(PRECISIONS),
  )
  sync_batch_norm: bool = options.option(
    False, 'Normalise over the global batch, not per device.'
  )
