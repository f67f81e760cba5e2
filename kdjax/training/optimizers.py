"""Optimizers and learning-rate schedules by name, all of them optax's."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ('sgd', 'adam')
SCHEDULES = ('constant', 'cosine', 'step')

# CIFAR's usual protocol: a tenth of the rate at epochs 150, 180, 210 of 240.
_STEP_FRACTIONS = (150 / 240, 180 / 240, 210 / 240)


def make_schedule(name: str, learning_rate: float, steps: int) -> Callable:
  """A schedule of the learning rate over a whole run.

  Args:
    name: `constant`, `cosine` (to zero) or `step` (a tenth after 62.5 %, 75 %
      and 87.5 % of the steps, as in the usual CIFAR protocol).
    learning_rate: At the start.
    steps: Length of the run.

  Raises:
    ValueError: for another name.
  """
  if name == 'constant':
    schedule = optax.schedules.constant_schedule(learning_rate)
  elif name == 'cosine':
    schedule = optax.schedules.cosine_decay_schedule(learning_rate, steps)
  elif name == 'step':
    schedule = optax.schedules.piecewise_constant_schedule(
      learning_rate, {int(part * steps): 0.1 for part in _STEP_FRACTIONS}
    )
  else:
    raise ValueError(f'schedule must be one of {SCHEDULES}, got {name!r}.')
  # Strict dtype promotion refuses optax's mixing of an integer count and
  # floats. Exact up to 2**24 steps.
  return lambda count: schedule(jnp.asarray(count, jnp.float32))


def make_optimizer(
  name: str,
  learning_rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float = 0.0,
  clip_norm: float = 0.0,
) -> optax.GradientTransformation:
  """SGD with Nesterov momentum 0.9, or Adam, with decay and clipping.

  Args:
    name: `sgd` (weight decay is added to the gradient, as the field's
      protocols mean it) or `adam` (decay is decoupled: AdamW).
    learning_rate: A number or a schedule.
    weight_decay: On all parameters, batch norm and biases included.
    clip_norm: Largest global norm of the gradient; 0 for no clipping.

  Raises:
    ValueError: for another name.
  """
  clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  if name == 'sgd':
    return optax.chain(
      clip,
      optax.add_decayed_weights(weight_decay),
      optax.sgd(learning_rate, momentum=0.9, nesterov=True),
    )
  if name == 'adam':
    adam = optax.adamw(learning_rate, weight_decay=weight_decay)
    return optax.chain(clip, _with_standard_promotion(adam))
  raise ValueError(f'optimizer must be one of {OPTIMIZERS}, got {name!r}.')


def _with_standard_promotion(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Adam's bias correction takes `decay**count`, which strict mode refuses."""

  def update(gradients, state, params=None):
    with jax.numpy_dtype_promotion('standard'):
      return inner.update(gradients, state, params)

  return optax.GradientTransformation(inner.init, update)


def freeze_unreached(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Leaves alone the parameters that the loss does not reach.

  Weight decay and momentum would move them all the same. A parameter counts as
  unreached while its gradient is exactly zero: in FitNets' hint stage, all
  layers above the guided one.
  """

  def update(gradients, state, params=None):
    updates, state = inner.update(gradients, state, params)

    def keep(gradient, update):
      return jnp.where(jnp.any(gradient != 0), update, jnp.zeros_like(update))

    return jax.tree.map(keep, gradients, updates), state

  return optax.GradientTransformation(inner.init, update)
