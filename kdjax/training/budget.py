"""How long a student trains, on what batches, with which optimizer."""

import dataclasses
import math

from kdjax import options
from kdjax.training import optimizers

# Without a number of epochs a run is as long as this many steps.
_DEFAULT_STEPS = 1500

_SEED = options.Rule(lambda x: 0 <= x < 2**32, 'must be 0 or more, below 2**32')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget(options.Options):
  """Training."""

  batch_size: int = options.option(
    64,
    'Global batch size; a multiple of the number of devices.',
    options.AT_LEAST_ONE,
  )
  epochs: int | None = options.option(
    None,
    "Passes over the student's examples. Default: as many as make "
    f'{_DEFAULT_STEPS} steps.',
    options.AT_LEAST_ONE,
  )
  optimizer: str = options.option(
    'sgd',
    f'One of {", ".join(optimizers.OPTIMIZERS)}.',
    options.one_of(optimizers.OPTIMIZERS),
  )
  learning_rate: float = options.option(
    0.05, 'Learning rate at the start; above 0.', options.POSITIVE
  )
  schedule: str = options.option(
    'cosine',
    f'One of {", ".join(optimizers.SCHEDULES)}.',
    options.one_of(optimizers.SCHEDULES),
  )
  weight_decay: float = options.option(
    5e-4, 'Weight decay on all parameters; 0 or more.', options.NOT_NEGATIVE
  )
  clip_norm: float = options.option(
    0.0, 'Largest gradient norm; 0 for no clipping.', options.NOT_NEGATIVE
  )
  seeds: int = options.option(
    5,
    'How many students train, of seeds seed, seed + 1, ...',
    options.AT_LEAST_ONE,
  )
  seed: int = options.option(
    0, "The first student's seed, which initialises it.", _SEED
  )
  data_seed: int = options.option(
    0,
    'What all students share: the transfer set, the order and augmentation of '
    'its examples, and the teacher.',
    _SEED,
  )
  stream: bool = options.option(
    False, 'Feed batches from the host, for data too large for the devices.'
  )
  checkpoint_every: int | None = options.option(
    None,
    'Epochs between checkpoints. Default: a tenth of the epochs.',
    options.AT_LEAST_ONE,
  )

  def __post_init__(self) -> None:
    """Raises OptionError for values out of range."""
    super().__post_init__()
    for name in ('seed', 'data_seed'):
      value = getattr(self, name)
      if value >= 2**32 - self.seeds:
        raise options.OptionError(
          name, value, 'must be below 2**32 less the number of seeds'
        )

  @property
  def all_seeds(self) -> tuple[int, ...]:
    """One seed for every student."""
    return tuple(range(self.seed, self.seed + self.seeds))

  def steps_per_epoch(self, examples: int) -> int:
    """Steps in which all examples are seen once."""
    return math.ceil(examples / self.batch_size)

  def epochs_over(self, examples: int) -> int:
    """The number of epochs; by default as many as make 1500 steps."""
    default = math.ceil(_DEFAULT_STEPS / self.steps_per_epoch(examples))
    return self.epochs or default
