"""What a teacher's training has of its own."""

import dataclasses
from typing import Any

from kdjax import options
from kdjax.training.budget import Budget

_RULES = {
  field.name: field.metadata['rule'] for field in dataclasses.fields(Budget)
}


def _own(name: str) -> Any:
  """Returns the field of the teacher's own value of a field of `Budget`."""
  text = f'The same for the training of the teacher. Default: {name}.'
  return options.option(None, text, _RULES[name])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherBudget(options.Options):
  """Teacher's training.

  None stands for the students' value.
  """

  prefix = 'teacher_'

  batch_size: int | None = _own('batch_size')
  optimizer: str | None = _own('optimizer')
  learning_rate: float | None = _own('learning_rate')
  schedule: str | None = _own('schedule')
  milestones: str | None = _own('milestones')
  warmup_epochs: float | None = _own('warmup_epochs')
  accumulate: int | None = _own('accumulate')
  ema: float | None = _own('ema')
  weight_decay: float | None = _own('weight_decay')
  examples: int | None = options.option(
    None,
    'Number of training examples that the teacher sees, balanced over the '
    'classes; 0 for all. Default: all. The examples of a student are among '
    'them if they are as many or fewer.',
    options.Rule(lambda x: x >= 0, 'must be 0 or more'),
  )

  def of(self, budget: Budget) -> Budget:
    """Returns the students' budget with the values that are the teacher's own.

    >>> TeacherBudget(learning_rate=0.1).of(Budget(epochs=8)).learning_rate
    0.1
    """
    own = {
      name: value
      for name, value in self.given().items()
      if name in _RULES  # `examples` is none of a budget's
    }
    return dataclasses.replace(budget, **own)

  def given(self) -> dict[str, Any]:
    """Returns the values that are the teacher's own, by name."""
    return {
      name: value
      for name, value in dataclasses.asdict(self).items()
      if value is not None
    }

  def flag(self, name: str) -> str:
    """Returns the flag that the teacher's value of an option comes from."""
    return (self.prefix if name in self.given() else '') + name
