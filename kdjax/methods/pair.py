"""The two networks that a method binds to, and the taps it usually takes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from kdjax import models
from kdjax.options import OptionError
from kdjax.transforms import LossTransform

Weight = float | Callable[[jax.Array], jax.Array]
Terms = dict[str, tuple[Weight, LossTransform]]
Shapes = Mapping[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
  """A student and its teacher, as far as a method may depend on them.

  Attributes:
    student: Shapes of the student's outputs by name.
    teacher: Shapes of the teacher's outputs by name.
    teacher_params: The teacher's parameters; their shapes are enough to check.
    examples: How many examples the student sees.
    labels: Gives their classes, `[examples]`; called only by methods that need
      them, since reading them may take long.
    epochs: Length of the student's training.
    steps_per_epoch: Its steps in an epoch.
    names: Architectures of student and teacher, for messages.
    class_weights: Weights of the classes in the cross-entropy with the labels;
      None for equal weights.
  """

  student: Shapes
  teacher: Shapes
  teacher_params: Any
  examples: int
  labels: Callable[[], np.ndarray]
  epochs: int
  steps_per_epoch: int
  names: tuple[str, str] = ('network', 'network')
  class_weights: tuple[float, ...] | None = None

  def ramp(self, weight: float, epochs: int = 20) -> Weight:
    """A weight that grows linearly from 0 over the first epochs."""
    return optax.schedules.linear_schedule(
      0.0, weight, epochs * self.steps_per_epoch
    )

  def stage_pairs(self) -> dict[str, Any]:
    """The stages of both networks, paired from the last one back."""
    student, teacher = stage_names(self.student), stage_names(self.teacher)
    count = min(len(student), len(teacher))
    if not count:
      raise ValueError(
        "networks must have outputs named 'stage1', 'stage2', ...; the student "
        f'has {", ".join(self.student)}, the teacher {", ".join(self.teacher)}.'
      )
    return {'student': student[-count:], 'teacher': teacher[-count:]}

  def last_stages(self) -> dict[str, Any]:
    """The last stage of each network."""
    return {name: taps[-1] for name, taps in self.stage_pairs().items()}

  def middle_stages(self) -> dict[str, Any]:
    """The middle stage of each network, the paper's guided and hint layers."""
    return {
      'student': models.middle_stage(self.student),
      'teacher': models.middle_stage(self.teacher),
    }

  def before_relus(self) -> dict[str, Any]:
    """The paired stages before their last ReLU."""
    pairs = self.stage_pairs()
    return {
      'student': before_relu(self.student, pairs['student']),
      'teacher': before_relu(self.teacher, pairs['teacher']),
    }

  def distillation_logits(self, method: str) -> str:
    """Name of the student's answer that learns from the teacher alone.

    Raises:
      OptionError: if the student has no distillation token.
    """
    if 'distillation_logits' not in self.student:
      raise OptionError(
        'method',
        method,
        f'needs a distillation token, which the student {self.names[0]} does '
        'not have; the models named ..._distilled do',
      )
    return 'distillation_logits'

  def blocks(self, method: str, suffix: str = '') -> dict[str, Any]:
    """The transformer blocks of both networks, at equal depths.

    Raises:
      OptionError: if a network has none.
    """
    found = {}
    both = (('student', self.student), ('teacher', self.teacher))
    for (network, outputs), name in zip(both, self.names, strict=True):
      count = sum(f'block{i + 1}{suffix}' in outputs for i in range(999))
      if not count:
        raise OptionError(
          'method',
          method,
          f'needs transformer blocks, which the {network} {name} does not '
          'have; the vit models do',
        )
      found[network] = count
    depth = min(found.values())
    return {
      network: tuple(
        f'block{(i + 1) * count // depth}{suffix}' for i in range(depth)
      )
      for network, count in found.items()
    }


def with_taps(
  find: Callable[[], dict[str, Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
  """The usual taps of student and teacher, and what is given, which wins.

  Args:
    find: Such as `pair.stage_pairs`; not called where both networks' taps are
      given, so that networks need not have the usual ones.
    given: Arguments of a transform.
  """
  known = 'student' in given and 'teacher' in given
  return ({} if known else find()) | dict(given)


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
