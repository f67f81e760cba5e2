"""Options of a distillation beside its method."""

import dataclasses

from kdjax import options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Experiment."""

  teacher_epochs: int | None = options.option(
    None,
    'Passes of the teacher over all examples. Default: epochs if given, '
    'otherwise as many as make 1500 steps.',
    options.AT_LEAST_ONE,
  )
  scratch: bool = options.option(
    True, 'Also train the same student from labels alone, to compare with.'
  )
  student_checkpoint: str | None = options.option(
    None,
    'Directory of trained students that all students, also those from scratch, '
    'start from; at least as many as seeds.',
  )
