"""One update for the gradients of several batches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

# Maps the number of steps that are done to whether the last one made an update.
Due = Callable[[jax.Array], jax.Array]


class Accumulated(NamedTuple):
  """The state of `accumulated`.

  Attributes:
    steps: Number of steps, int32 scalar.
    batches: Number of batches since the last update, int32 scalar.
    mean: Mean gradient of these batches.
    inner: State of the optimizer.
  """

  steps: jax.Array
  batches: jax.Array
  mean: Any
  inner: optax.OptState


def updates_every(batches: int, steps: int) -> Due:
  """Returns the rule of updates: every few steps, and after the last step.

  Args:
    batches: Number of steps from one update to the next.
    steps: Number of steps in the run. Its last group may be smaller.

  >>> [bool(updates_every(2, 5)(done)) for done in (1, 2, 3, 4, 5)]
  [False, True, False, True, True]
  """
  return lambda done: (done % batches == 0) | (done == steps)


def accumulated(
  inner: optax.GradientTransformation, due: Due
) -> optax.GradientTransformation:
  """Updates with the mean gradient of all batches since the last update.

  `optax.MultiSteps` would drop the last batches of a run whose number of steps
  is not a multiple of the group's.

  Args:
    inner: The optimizer; it takes one step for each update.
    due: Result of `updates_every`.
  """

  def init(params):
    zero = jnp.zeros((), jnp.int32)
    mean = jax.tree.map(jnp.zeros_like, params)
    return Accumulated(zero, zero, mean, inner.init(params))

  def update(gradients, state, params=None):
    steps, batches = state.steps + 1, state.batches + 1
    mean = jax.tree.map(
      lambda mean, new: mean + (new - mean) / batches.astype(new.dtype),
      state.mean,
      gradients,
    )
    updates, changed = inner.update(mean, state.inner, params)
    now = due(steps)

    def choose(new, old):
      return jax.tree.map(lambda x, y: jnp.where(now, x, y), new, old)

    zeros = jax.tree.map(jnp.zeros_like, mean)
    return choose(updates, zeros), Accumulated(
      steps,
      jnp.where(now, 0, batches),
      choose(zeros, mean),
      choose(changed, state.inner),
    )

  return optax.GradientTransformation(init, update)
