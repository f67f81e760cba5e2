"""A trained network."""

from collections.abc import Mapping
from typing import NamedTuple

from kdjax.models.model import Model, ModelVariables


class Network(NamedTuple):
  """A model with trained variables: a teacher, or a student.

  Attributes:
    model: The model.
    variables: Variables of one model, not stacked.
    measures: Measures on a task's test set by name; `{}` before an evaluation.
    task: Name of the task of the measures; '' before an evaluation.
  """

  model: Model
  variables: ModelVariables
  measures: Mapping[str, float] = {}
  task: str = ''

  @property
  def name(self) -> str:
    """The architecture's name."""
    return self.model.name
