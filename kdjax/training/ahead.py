"""A teacher that answers several batches in one pass, ahead of the students.

A small batch leaves a device idle between kernels. The teacher does not depend
on the students, so one larger pass computes its outputs for several steps.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model

# Most steps that may fill up an epoch's last window, as a share of all steps.
_LARGEST_WASTE = 0.05


class Ahead(NamedTuple):
  """A teacher that answers several batches in one pass.

  Attributes:
    teacher: The teacher. It runs in inference mode, in which its outputs for an
      example do not depend on other examples.
    names: Names of the teacher's outputs that the steps read.
    batches: Number of batches in one pass, at least 1. A pass has fewer batches
      if otherwise more than a twentieth of the steps would only fill up the
      last window.
  """

  teacher: Model
  names: Collection[str]
  batches: int


class Windows(NamedTuple):
  """The windows of the steps of an epoch, as `jax.lax.scan` takes them.

  Attributes:
    run: `(states, first step) -> (states, metrics of the window)`.
    firsts: The first step of every window.
  """

  run: Callable
  firsts: jax.Array


def windows(
  train_step: Callable,
  ahead: Ahead,
  teacher_variables: Any,
  batch_of: Callable[[jax.Array], Mapping],
  steps: int,
) -> Windows:
  """Groups the steps of an epoch into windows of up to `ahead.batches`.

  Args:
    train_step: Step that reads the teacher's outputs from `batch['teacher']`.
    ahead: The teacher.
    teacher_variables: Variables of the teacher.
    batch_of: Pure function from the number of a step to its batch.
    steps: Number of steps in the epoch.
  """
  window = _window(ahead.batches, steps)

  def one_step(states, given):
    step, batch = given
    new, metrics = train_step(states, None, batch)
    if steps % window:
      # Steps that only fill up the last window leave the states unchanged.
      new = jax.tree.map(
        lambda x, y: jnp.where(step < steps, x, y), new, states
      )
    return new, metrics

  def one_window(states, first):
    numbers = first + jnp.arange(window)
    batches = jax.vmap(batch_of)(jnp.minimum(numbers, steps - 1))
    batches = {
      **batches,
      'teacher': _answers(ahead, teacher_variables, batches),
    }
    return jax.lax.scan(one_step, states, (numbers, batches))

  return Windows(one_window, jnp.arange(0, steps, window))


def of_steps(metrics: Any, steps: int) -> Any:
  """Reshapes the metrics of windows to metrics of steps, `[steps, ...]`."""
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:steps], metrics)


def _window(batches: int, steps: int) -> int:
  """Returns the largest window that fills up an epoch with few steps."""
  fitting = (
    window
    for window in range(min(batches, steps), 0, -1)
    if -steps % window <= _LARGEST_WASTE * steps
  )
  return next(fitting)


def _answers(
  ahead: Ahead, variables: Any, batches: Mapping
) -> dict[str, jax.Array]:
  """Maps batches `[batches, n, ...]` to outputs `[batches, n, ...]`."""
  leading = jax.tree.leaves(batches)[0].shape[:2]
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), dict(batches))
  outputs, _ = ahead.teacher.apply(variables, flat)
  unknown = sorted(set(ahead.names) - set(outputs))
  if unknown:
    raise ValueError(
      f'names must be outputs of the teacher, {sorted(outputs)}, got {unknown}.'
    )
  return {
    name: outputs[name].reshape(*leading, *outputs[name].shape[1:])
    for name in ahead.names
  }
