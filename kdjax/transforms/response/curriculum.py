"""Soft targets at a temperature that trains against the student (CTKD)."""

import jax
import optax

from kdjax.losses import contract
from kdjax.transforms import base
from kdjax.transforms.numbers import Learned, Schedule, accepts
from kdjax.transforms.response.logits import soft_targets


@accepts(
  curriculum_steps=contract.COUNT,
  lowest=contract.fixed(contract.POSITIVE),
  span=contract.fixed(contract.POSITIVE),
)
def curriculum_soft_targets(
  *,
  curriculum_steps: int,
  lowest: float = 1.0,
  span: float = 20.0,
  mask: str | None = None,
) -> base.LossTransform:
  """Soft targets at the temperature that makes them hardest (CTKD).

  The temperature is `lowest + span * sigmoid(x)`, where `x` trains with the
  student, starts from 1, and climbs the loss that the student descends: its
  gradient is reversed, and grows from 0 to full size over the curriculum,
  `-(1 - cos(pi * step / curriculum_steps)) / 2` of it. So the targets become
  harder as the student learns.

  The defaults are the authors' (their `t_end` of 20 is the span, so that the
  temperature stays below 21). Weight 0.9 beside 0.1 of `labels`, as plain soft
  targets; the curriculum takes 10 of 240 epochs. Weight decay moves `x` towards
  0, as in the authors' code. The metric `temperature` shows where it is.

  >>> term = curriculum_soft_targets(curriculum_steps=100)
  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2801

  Args:
    curriculum_steps: Steps after which the gradient is fully reversed.
    lowest: Bound of the temperature from below. Above 0.
    span: Its bound from above, less `lowest`. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if student
      and teacher have different numbers of classes.

  References:
    Li et al., `Curriculum Temperature for Knowledge Distillation
    <https://arxiv.org/abs/2211.16231>`_, 2023, sections 3.2 and 3.3, the global
    temperature; and its code.
  """

  def value_of(x: jax.Array) -> jax.Array:
    return lowest + span * jax.nn.sigmoid(x)

  temperature = Learned(1.0, value_of, _reversal(curriculum_steps))
  return soft_targets(temperature=temperature, mask=mask)


def _reversal(steps: int) -> Schedule:
  """From 0 to -1 along half a cosine."""
  falling = optax.schedules.cosine_decay_schedule(1.0, steps)
  return lambda step: falling(step) - 1
