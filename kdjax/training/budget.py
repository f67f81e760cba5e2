"""The budget of a training: epochs, batches, optimizer and seeds."""

import dataclasses
import math

from kdjax import options
from kdjax.training import optimizers

# Length of a run in steps if the number of epochs is not given.
_DEFAULT_STEPS = 1500


def _shares(text: str) -> tuple[float, ...]:
  return tuple(float(part) for part in text.split(','))


def _good_milestones(text: str) -> bool:
  try:
    return optimizers.are_milestones(_shares(text))
  except ValueError:
    return False


_MILESTONES = options.Rule(
  _good_milestones, 'must be numbers above 0, below 1, in order, with commas'
)
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
    "Number of passes over the student's examples. Default: enough for "
    f'{_DEFAULT_STEPS} steps.',
    options.AT_LEAST_ONE,
  )
  optimizer: str = options.option(
    'sgd',
    f'Optimizer; one of {", ".join(optimizers.OPTIMIZERS)}. sgd has Nesterov '
    'momentum, momentum plain momentum, both 0.9.',
    options.one_of(optimizers.OPTIMIZERS),
  )
  learning_rate: float = options.option(
    0.05, 'Learning rate at the start; above 0.', options.POSITIVE
  )
  schedule: str = options.option(
    'cosine',
    f'Learning rate schedule; one of {", ".join(optimizers.SCHEDULES)}.',
    options.one_of(optimizers.SCHEDULES),
  )
  milestones: str = options.option(
    ','.join(map(str, optimizers.MILESTONES)),
    'Shares of a run after which the step schedule takes a tenth of the '
    'learning rate, with commas; 0.3,0.6,0.9 are epochs 30, 60 and 90 of 100. '
    'Other schedules have none.',
    _MILESTONES,
  )
  warmup_epochs: float = options.option(
    0.0,
    'Epochs in which the learning rate first grows from 0 in equal parts; the '
    'schedule takes the remaining ones. It may be a fraction.',
    options.NOT_NEGATIVE,
  )
  accumulate: int = options.option(
    1,
    'Number of batches whose mean gradient makes one update; the last group of '
    'a run may be smaller. Losses and batch norm see one batch at a time.',
    options.AT_LEAST_ONE,
  )
  ema: float = options.option(
    0.0,
    'Decay of the moving average of the parameters and batch statistics that '
    'is evaluated and saved, for each update; 0 for no average.',
    options.Rule(lambda x: 0 <= x < 1, 'must be 0 or more, below 1'),
  )
  weight_decay: float = options.option(
    5e-4, 'Weight decay on all parameters; 0 or more.', options.NOT_NEGATIVE
  )
  clip_norm: float = options.option(
    0.0, 'Largest gradient norm; 0 for no clipping.', options.NOT_NEGATIVE
  )
  seeds: int = options.option(
    5,
    'Number of students; their seeds are seed, seed + 1, ...',
    options.AT_LEAST_ONE,
  )
  seed: int = options.option(
    0, 'Seed of the first student; it determines the initial parameters.', _SEED
  )
  data_seed: int = options.option(
    0,
    'Seed of everything that students share: the transfer set, the order and '
    'augmentation of its examples, and the teacher.',
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
    """The seeds of all students."""
    return tuple(range(self.seed, self.seed + self.seeds))

  @property
  def all_milestones(self) -> tuple[float, ...]:
    """The milestones as numbers.

    >>> Budget(milestones='0.3,0.6,0.9').all_milestones
    (0.3, 0.6, 0.9)
    """
    return _shares(self.milestones)

  def steps_per_epoch(self, examples: int) -> int:
    """Returns the number of steps of one pass over the examples."""
    return math.ceil(examples / self.batch_size)

  def epochs_over(self, examples: int) -> int:
    """Returns the number of epochs; by default enough for 1500 steps."""
    default = math.ceil(_DEFAULT_STEPS / self.steps_per_epoch(examples))
    return self.epochs or default

  def warmup_steps(self, steps_per_epoch: int) -> int:
    """Returns the number of steps in which the learning rate grows."""
    return round(self.warmup_epochs * steps_per_epoch)

  def check_warmup(
    self, run: str, epochs: int, flag: str = 'warmup_epochs'
  ) -> None:
    """Raises OptionError unless the warm-up is shorter than the run.

    Args:
      run: Name of the run, for the message.
      epochs: Its number of epochs.
      flag: Name of the option, for the message.
    """
    if self.warmup_epochs >= epochs:
      raise options.OptionError(
        flag,
        self.warmup_epochs,
        f'must be below {epochs}, the epochs of the {run} run',
      )
