"""What a method may build on, and the taps it usually takes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from kdjax import models
from kdjax.recipes.errors import SettingsError
from kdjax.transforms import LossTransform

if TYPE_CHECKING:
  from kdjax.recipes.settings import Settings

Weight = float | Callable[[jax.Array], jax.Array]
Terms = dict[str, tuple[Weight, LossTransform]]
Shapes = Mapping[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
  """What is chosen, and what follows from it.

  Attributes:
    settings: The hyperparameters.
    student: Shapes of the student's outputs by name.
    teacher: Shapes of the teacher's outputs by name.
    teacher_params: The teacher's parameters; their shapes will do to check.
    labels: Classes of the transfer set, `[examples]`.
    steps_per_epoch: Of the student's training.
  """

  settings: 'Settings'
  student: Shapes
  teacher: Shapes
  teacher_params: Any
  labels: np.ndarray
  steps_per_epoch: int

  def ramp(self, weight: float, epochs: int = 20) -> Weight:
    """A weight that grows linearly from 0 over the first epochs."""
    return optax.schedules.linear_schedule(
      0.0, weight, epochs * self.steps_per_epoch
    )

  def stage_pairs(self) -> dict[str, Any]:
    """The stages of both networks, paired from the last one back."""
    student, teacher = stage_names(self.student), stage_names(self.teacher)
    count = min(len(student), len(teacher))
    return {'student': student[-count:], 'teacher': teacher[-count:]}

  def last_stages(self) -> dict[str, Any]:
    """The last stage of each network."""
    return {name: taps[-1] for name, taps in self.stage_pairs().items()}

  def hint_layers(self) -> dict[str, Any]:
    """The chosen guided and hint layers, or the middle stages."""
    settings = self.settings
    return {
      'student': settings.hint_student or models.middle_stage(self.student),
      'teacher': settings.hint_teacher or models.middle_stage(self.teacher),
    }

  def blocks(self, method: str, suffix: str = '') -> dict[str, Any]:
    """The transformer blocks of both networks, at equal depths.

    Raises:
      SettingsError: if a network has none.
    """
    found = {}
    for network, outputs in (
      ('student', self.student),
      ('teacher', self.teacher),
    ):
      count = sum(f'block{i + 1}{suffix}' in outputs for i in range(999))
      if not count:
        raise SettingsError(
          'method',
          method,
          f'needs transformer blocks, which the {network} '
          f'{getattr(self.settings, network)} does not have; the vit models do',
        )
      found[network] = count
    depth = min(found.values())
    return {
      network: tuple(
        f'block{(i + 1) * count // depth}{suffix}' for i in range(depth)
      )
      for network, count in found.items()
    }


def stage_names(outputs: Shapes) -> tuple[str, ...]:
  """`stage1`, `stage2`, ... as far as there are such outputs."""
  numbers = sorted(
    int(name.removeprefix('stage'))
    for name in outputs
    if name.startswith('stage') and name.removeprefix('stage').isdigit()
  )
  return tuple(f'stage{number}' for number in numbers)


def before_relu(outputs: Shapes, stages: tuple[str, ...]) -> tuple[str, ...]:
  """The stages' pre-activations; a transformer's stages have none."""
  return tuple(
    f'{stage}/preactivation' if f'{stage}/preactivation' in outputs else stage
    for stage in stages
  )
