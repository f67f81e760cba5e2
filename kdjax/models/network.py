"""A network that somebody has trained."""

from collections.abc import Mapping
from typing import NamedTuple

from kdjax.models.model import Model, ModelVariables


class Network(NamedTuple):
  """A model and one trained set of its variables: a teacher, or a student.

  Attributes:
    model: The model.
    variables: Its variables, of one model, not stacked.
    measures: What a task found it worth on its test set, by name; `{}` before
      anybody has looked.
  """

  model: Model
  variables: ModelVariables
  measures: Mapping[str, float] = {}

  @property
  def name(self) -> str:
    """The architecture's name."""
    return self.model.name
