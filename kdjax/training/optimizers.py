"""Optimizers and learning-rate schedules of optax by name."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ('sgd', 'momentum', 'adam')
SCHEDULES = ('constant', 'cosine', 'step')

# CIFAR's usual protocol: a tenth of the rate at epochs 150, 180, 210 of 240.
MILESTONES = (150 / 240, 180 / 240, 210 / 240)
# 0.29 * 100 is 28.999999999999996 in floating point and must count as step 29.
_ROUNDING = 1e-6


def make_schedule(
  name: str,
  learning_rate: float,
  steps: int,
  *,
  warmup_steps: int = 0,
  milestones: Sequence[float] = MILESTONES,
) -> Callable:
  """Returns the schedule of the learning rate over a whole run.

  Args:
    name: `constant`, `cosine` (to zero) or `step` (a tenth after every
      milestone).
    learning_rate: Learning rate at the start, or at the end of the warm-up.
    steps: Number of steps in the run.
    warmup_steps: Number of steps in which the learning rate first grows from 0
      in equal parts. The named schedule then takes the remaining steps.
    milestones: Shares of the steps of the `step` schedule, above 0, below 1 and
      in order. The default is that of the usual CIFAR protocol, epochs 150, 180
      and 210 of 240. ImageNet's usual protocol has 0.3, 0.6 and 0.9.

  Raises:
    ValueError: if the name is unknown, the warm-up leaves no step, or the
      milestones are out of range or order.

  >>> schedule = make_schedule('constant', 0.5, 9, warmup_steps=2)
  >>> [float(schedule(step)) for step in range(4)]
  [0.0, 0.25, 0.5, 0.5]
  """
  if not 0 <= warmup_steps < steps:
    raise ValueError(
      f'warmup_steps must be within 0 and {steps - 1}, got {warmup_steps}.'
    )
  if not are_milestones(milestones):
    raise ValueError(
      f'milestones must be above 0, below 1 and in order, got {milestones}.'
    )
  schedule = _named_schedule(
    name, learning_rate, steps - warmup_steps, milestones
  )
  if warmup_steps:
    warmup = optax.schedules.linear_schedule(0.0, learning_rate, warmup_steps)
    schedule = optax.schedules.join_schedules(
      (warmup, schedule), (warmup_steps,)
    )
  # Strict dtype promotion does not let optax mix an integer count and floats.
  # The float32 count is exact up to 2**24 steps.
  return lambda count: schedule(jnp.asarray(count, jnp.float32))


def are_milestones(shares: Sequence[float]) -> bool:
  """Returns whether shares of a run are above 0, below 1 and in order.

  >>> are_milestones((0.3, 0.6, 0.9)), are_milestones((30, 60, 90))
  (True, False)
  """
  ends = (0.0, *shares, 1.0)
  return all(low < high for low, high in itertools.pairwise(ends))


def _named_schedule(
  name: str, learning_rate: float, steps: int, milestones: Sequence[float]
) -> Callable:
  """Returns the schedule without warm-up, of a float32 count."""
  if name == 'constant':
    return optax.schedules.constant_schedule(learning_rate)
  if name == 'cosine':
    return optax.schedules.cosine_decay_schedule(learning_rate, steps)
  if name == 'step':
    # Milestones of a short run that fall on one step count once.
    falls = {int(share * steps + _ROUNDING): 0.1 for share in milestones}
    return optax.schedules.piecewise_constant_schedule(learning_rate, falls)
  raise ValueError(f'schedule must be one of {SCHEDULES}, got {name!r}.')


def make_optimizer(
  name: str,
  learning_rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float = 0.0,
  clip_norm: float = 0.0,
) -> optax.GradientTransformation:
  """Returns SGD with momentum 0.9, or Adam, with decay and clipping.

  Args:
    name: `sgd` (Nesterov momentum) or `momentum` (plain, as in the protocols of
      CIFAR-100 and ImageNet), whose weight decay is added to the gradient; or
      `adam` (decay is decoupled: AdamW).
    learning_rate: A number or a schedule.
    weight_decay: Weight decay of all parameters, also batch norm and biases.
    clip_norm: Largest global norm of the gradient; 0 for no clipping.

  Raises:
    ValueError: if the name is unknown.
  """
  clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  if name in ('sgd', 'momentum'):
    return optax.chain(
      clip,
      optax.add_decayed_weights(weight_decay),
      optax.sgd(learning_rate, momentum=0.9, nesterov=name == 'sgd'),
    )
  if name == 'adam':
    adam = optax.adamw(learning_rate, weight_decay=weight_decay)
    return optax.chain(clip, _with_standard_promotion(adam))
  raise ValueError(f'optimizer must be one of {OPTIMIZERS}, got {name!r}.')


def _with_standard_promotion(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Allows Adam's `decay**count`, which strict dtype promotion refuses."""

  def update(gradients, state, params=None):
    with jax.numpy_dtype_promotion('standard'):
      return inner.update(gradients, state, params)

  return optax.GradientTransformation(inner.init, update)


def freeze_unreached(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Keeps the parameters that the loss does not reach unchanged.

  Weight decay and momentum would change them. A parameter counts as unreached
  while its gradient is exactly zero. FitNets' hint stage does not reach the
  layers above the guided layer.
  """

  def update(gradients, state, params=None):
    updates, state = inner.update(gradients, state, params)

    def keep(gradient, update):
      return jnp.where(jnp.any(gradient != 0), update, jnp.zeros_like(update))

    return jax.tree.map(keep, gradients, updates), state

  return optax.GradientTransformation(inner.init, update)
