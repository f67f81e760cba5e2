"""Methods by name: which terms a student minimises, and in which stages.

A method is a function of what is chosen to named, weighted terms; the terms of
several methods add up.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kdjax import models, transforms
from kdjax.recipes.errors import SettingsError
from kdjax.training import AXIS
from kdjax.transforms import LossTransform

if TYPE_CHECKING:
  from kdjax.recipes.settings import Settings

Terms = dict[str, tuple[float, LossTransform]]


class Choice(NamedTuple):
  """What a method may build on.

  Attributes:
    settings: The hyperparameters.
    student: Shapes of the student's outputs by name.
    teacher: Shapes of the teacher's outputs by name.
  """

  settings: 'Settings'
  student: dict[str, tuple[int, ...]]
  teacher: dict[str, tuple[int, ...]]


class Stage(NamedTuple):
  """One part of a student's training.

  Attributes:
    name: Of its run: `hint` or `distilled`.
    loss: What is minimised.
    epochs: How long.
    freeze_unreached: Leave alone what the loss does not reach.
  """

  name: str
  loss: LossTransform
  epochs: int
  freeze_unreached: bool = False


def _soft_targets(choice: Choice) -> Terms:
  """Hinton et al. 2015."""
  settings = choice.settings
  term = transforms.soft_targets(temperature=settings.temperature)
  return {'soft': (1 - settings.alpha, term)}


def _relations(choice: Choice) -> Terms:
  """Park et al. 2019, distances and angles of the embeddings."""
  settings = choice.settings
  return {
    'distance': (
      settings.distance_weight,
      transforms.across_devices(transforms.relational_distance(), AXIS),
    ),
    'angle': (
      settings.angle_weight,
      transforms.across_devices(transforms.relational_angle(), AXIS),
    ),
  }


def _one_stage_hint(choice: Choice) -> Terms:
  """Hints as benchmark codebases train them: beside the labels."""
  return {'hint': _hint(choice, default_weight=100.0, batch_norm=True)}


def _hint(
  choice: Choice, *, default_weight: float, batch_norm: bool
) -> tuple[float, LossTransform]:
  """The hint between the chosen taps, or the middle stages.

  The mean of squares: it is the paper's half squared norm up to a constant,
  and its gradient does not grow with the layer, so one learning rate fits.
  """
  settings = choice.settings
  term = transforms.hint(
    student=settings.hint_student or models.middle_stage(choice.student),
    teacher=settings.hint_teacher or models.middle_stage(choice.teacher),
    mean_squared=True,
    batch_norm=batch_norm,
    axis_name=AXIS,
  )
  weight = settings.hint_weight
  return (default_weight if weight is None else weight), term


_METHODS: dict[str, Callable[[Choice], Terms]] = {
  'kd': _soft_targets,
  'hint': _one_stage_hint,
  'fitnets': _soft_targets,  # its second stage; `stages` adds the first
  'rkd': _relations,
}

NAMES = tuple(_METHODS)

# With these the labels share the weight 1 with the soft targets.
_SHARE_WITH_LABELS = ('kd', 'fitnets')


def check_names(names: tuple[str, ...]) -> None:
  """Raises SettingsError for a method that is unknown or named twice."""
  for name in names:
    if name not in _METHODS:
      raise SettingsError('method', name, f'must be one of {", ".join(NAMES)}')
  if len(set(names)) < len(names):
    raise SettingsError('method', ','.join(names), 'names a method twice')


def stages(choice: Choice) -> list[Stage]:
  """The stages of distillation by `choice.settings.methods`.

  Their epochs add up to `settings.epochs`, the budget of the student trained
  from scratch.
  """
  settings = choice.settings
  shared = any(name in _SHARE_WITH_LABELS for name in settings.methods)
  label_weight = settings.alpha if shared else 1.0
  terms: Terms = {'labels': (label_weight, transforms.labels())}
  for name in settings.methods:
    terms |= _METHODS[name](choice)
  loss = transforms.weighted_sum(**terms)
  epochs = settings.epochs
  if 'fitnets' not in settings.methods:
    return [Stage('distilled', loss, epochs)]
  hint = transforms.weighted_sum(
    hint=_hint(choice, default_weight=1.0, batch_norm=False)
  )
  return [
    Stage('hint', hint, settings.hint_epochs, freeze_unreached=True),
    Stage('distilled', loss, epochs - settings.hint_epochs),
  ]
