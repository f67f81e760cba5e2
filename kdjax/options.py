"""Options: small frozen dataclasses that check their values.

Each room that reads options declares a class of options; binaries make a flag
of every field. None stands for a default that depends on other options.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, NamedTuple


class OptionError(ValueError):
  """An option is out of range; the message says which values are allowed."""

  def __init__(self, name: str, value: Any, allowed: str):
    super().__init__(f'{name}={value}: {allowed}')


class Rule(NamedTuple):
  """The values that an option may have.

  Attributes:
    good: Whether a value is allowed.
    allowed: The allowed values in words, the end of the error message.
  """

  good: Callable[[Any], bool]
  allowed: str


_INFINITY = float('inf')
POSITIVE = Rule(lambda x: 0 < x < _INFINITY, 'must be above 0 and finite')
NOT_NEGATIVE = Rule(lambda x: 0 <= x < _INFINITY, 'must be 0 or more, finite')
AT_LEAST_ONE = Rule(lambda x: x >= 1, 'must be 1 or more')
FRACTION = Rule(lambda x: 0 <= x <= 1, 'must be within 0 and 1')


def one_of(names: Collection[str]) -> Rule:
  """A rule that allows these names."""
  return Rule(lambda x: x in names, f'must be one of {", ".join(names)}')


def option(default: Any, doc: str, rule: Rule | None = None) -> Any:
  """Returns the dataclass field of one option.

  Args:
    default: Default value; None if the default depends on other options.
    doc: Meaning of the option; the help text of its flag.
    rule: Values that the option may have; None allows every value. The rule
      does not apply to the value None.
  """
  return dataclasses.field(
    default=default, metadata={'help': doc, 'rule': rule}
  )


class Options:
  """Base class of all classes of options.

  `prefix` precedes the name of every field in flags and messages.
  """

  prefix = ''

  def __post_init__(self) -> None:
    """Raises OptionError for the first field whose value breaks its rule."""
    for field in dataclasses.fields(self):  # type: ignore[arg-type]
      rule, value = field.metadata['rule'], getattr(self, field.name)
      if rule and value is not None and not rule.good(value):
        raise OptionError(self.prefix + field.name, value, rule.allowed)
