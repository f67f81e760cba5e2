"""Everything that decides the result of an experiment."""

import dataclasses
from typing import Any, NamedTuple

from kdjax import models
from kdjax.recipes import methods, ranges
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.ranges import AUGMENTATIONS, CACHES, PRECISIONS
from kdjax.training import optimizers

# Without a number of epochs a run is as long as this many steps.
_DEFAULT_STEPS = 1500


class _Defaults(NamedTuple):
  """What suits a kind of data."""

  teacher: str
  student: str
  transfer_examples: int
  augmentation: str


_DIGITS = _Defaults('mlp_teacher', 'mlp_student', 120, 'shift')
_IMAGES = _Defaults('resnet20', 'resnet8', 0, 'pad_crop_flip')


def _field(default: Any, doc: str) -> Any:
  return dataclasses.field(default=default, metadata={'help': doc})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """The settings of a distillation; each field's `help` says what it is.

  '', 0 and -1 stand for defaults that depend on other settings; `resolved`
  fills them in.
  """

  dataset: str = _field(
    'digits', 'A TFDS data set with `image` and `label`, or digits.'
  )
  data_dir: str | None = _field(
    None, 'Where TFDS keeps data sets. Default: TFDS_DATA_DIR.'
  )
  teacher: str = _field(
    '',
    f'One of {", ".join(models.names())}. Default: mlp_teacher for digits, '
    'resnet20 otherwise.',
  )
  student: str = _field(
    '', 'Likewise. Default: mlp_student for digits, resnet8 otherwise.'
  )
  teacher_checkpoint: str | None = _field(
    None, 'Directory of a trained teacher, instead of training one.'
  )
  method: str = _field(
    'kd', f'One or several of {", ".join(methods.NAMES)}, with commas.'
  )
  temperature: float = _field(4.0, 'Softens the soft targets; above 0.')
  alpha: float = _field(
    0.1, 'Weight of the labels, 0 to 1; soft targets get 1 - alpha.'
  )
  hint_student: str | None = _field(
    None, "The student's guided layer, a tap. Default: its middle stage."
  )
  hint_teacher: str | None = _field(
    None, "The teacher's hint layer, a tap. Default: its middle stage."
  )
  hint_weight: float | None = _field(
    None, 'Weight of the hint. Default: 1 for fitnets, 100 for hint.'
  )
  hint_epochs: int = _field(
    0,
    'Epochs of the first stage of fitnets, fsp and ab, part of the epochs; '
    '0 for a quarter.',
  )
  top_k: int = _field(
    5, "How many of the teacher's classes kd_top_k takes; the rest are one."
  )
  teacher_batches: int = _field(
    2,
    'How many batches the teacher answers in one pass, ahead of the students, '
    'where an epoch is one program; 1 or more.',
  )
  teacher_cache: str = _field(
    'none',
    f"Where the teacher's outputs are kept, each computed once for every view "
    f'of an example: one of {", ".join(CACHES)}. none runs it in every epoch.',
  )
  teacher_cache_dir: str | None = _field(
    None,
    'Directory of the memory_map or array_store, which runs with the same '
    'teacher may share. Default: teacher_cache in the workdir.',
  )
  teacher_cache_precision: str = _field(
    'float32', f'Of what is kept, one of {", ".join(PRECISIONS)}.'
  )
  weights: str = _field(
    '',
    "Weights of terms in place of the method's own, NAME=VALUE with commas, as "
    'in dkd=2,labels=0.5; the names are those in metrics.jsonl. A weight that '
    'grows grows to the value.',
  )
  distance_weight: float = _field(25.0, 'Weight of the relational distances.')
  angle_weight: float = _field(50.0, 'Weight of the relational angles.')
  transfer_examples: int = _field(
    -1,
    'How many training examples the student sees, equally of every class; '
    '0 for all, -1 for 120 of digits and all of other data sets.',
  )
  augmentation: str = _field(
    '',
    f'One of {", ".join(AUGMENTATIONS)}. Default: shift for digits, '
    'pad_crop_flip otherwise.',
  )
  batch_size: int = _field(64, 'Of the global batch; the devices divide it.')
  epochs: int = _field(
    0,
    "Passes over the student's examples; 0 for as many as make "
    f'{_DEFAULT_STEPS} steps.',
  )
  teacher_epochs: int = _field(
    0,
    'Passes of the teacher over all examples; 0 for epochs if given, else as '
    f'many as make {_DEFAULT_STEPS} steps.',
  )
  optimizer: str = _field('sgd', f'One of {", ".join(optimizers.OPTIMIZERS)}.')
  learning_rate: float = _field(0.05, 'At the start; above 0.')
  schedule: str = _field('cosine', f'One of {", ".join(optimizers.SCHEDULES)}.')
  weight_decay: float = _field(5e-4, 'On all parameters; 0 or more.')
  clip_norm: float = _field(0.0, 'Largest gradient norm; 0 for no clipping.')
  seeds: int = _field(5, 'How many students, of seeds seed, seed + 1, ...')
  seed: int = _field(0, "The first student's seed: its initialisation.")
  data_seed: int = _field(
    0,
    'What all students share: the transfer set, the order and augmentation of '
    'its examples, and the teacher.',
  )
  precision: str = _field(
    'float32',
    f'Of the networks, one of {", ".join(PRECISIONS)}; parameters and losses '
    'are float32.',
  )
  sync_batch_norm: bool = _field(
    False, 'Batch norm over the global batch, not per device.'
  )
  stream: bool = _field(
    False, 'Feed batches from the host, for data too large for the devices.'
  )
  scratch: bool = _field(
    True, 'Also train the same student from labels alone, to compare with.'
  )
  checkpoint_every: int = _field(
    0, 'Epochs between checkpoints; 0 for a tenth of the epochs.'
  )

  def __post_init__(self) -> None:
    """Checks what needs no data; raises SettingsError."""
    ranges.check_choices(self)
    ranges.check_ranges(self)
    ranges.check_cache(self)
    methods.check_names(self.methods)
    self.term_weights  # noqa: B018 (raises)

  @property
  def methods(self) -> tuple[str, ...]:
    """The names in `method`."""
    return tuple(name.strip() for name in self.method.split(','))

  @property
  def term_weights(self) -> dict[str, float]:
    """`weights` by name of the term."""
    found = {}
    for part in filter(None, self.weights.split(',')):
      name, _, text = part.partition('=')
      try:
        found[name.strip()] = weight = float(text)
      except ValueError:
        weight = -1.0
      if not 0 <= weight < float('inf'):
        raise SettingsError(
          'weights', part, 'must be NAME=VALUE, the value 0 or more, finite'
        )
    return found

  def resolved(self, available: int) -> 'Settings':
    """Fills in what depends on the data.

    Args:
      available: Number of training examples.

    Raises:
      SettingsError: if more transfer examples are wanted than there are, or
        the hint stage leaves no epoch for the second.
    """
    defaults = _DIGITS if self.dataset == 'digits' else _IMAGES
    wanted = self.transfer_examples
    if wanted < 0:
      wanted = defaults.transfer_examples
    if wanted > available:
      raise SettingsError(
        'transfer_examples', wanted, f'must be at most {available}'
      )
    wanted = wanted or available
    epochs = self.epochs or _epochs(wanted, self.batch_size)
    hint_epochs = self.hint_epochs or max(1, epochs // 4)
    if methods.has_first_stage(self.methods) and hint_epochs >= epochs:
      raise SettingsError(
        'hint_epochs', hint_epochs, f'must be below epochs={epochs}'
      )
    return dataclasses.replace(
      self,
      teacher=self.teacher or defaults.teacher,
      student=self.student or defaults.student,
      augmentation=self.augmentation or defaults.augmentation,
      transfer_examples=wanted,
      epochs=epochs,
      teacher_epochs=(
        self.teacher_epochs
        or self.epochs
        or _epochs(available, self.batch_size)
      ),
      hint_epochs=hint_epochs,
    )


def _epochs(examples: int, batch_size: int) -> int:
  """As many epochs as make the default number of steps."""
  steps = -(-examples // batch_size)
  return -(-_DEFAULT_STEPS // steps)
