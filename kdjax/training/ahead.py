"""A teacher that answers several batches in one pass, ahead of the students.

A small batch leaves a device idle between kernels, and the teacher waits for no
student: its passes of several steps are one larger pass.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model

# Steps of an epoch's last window that there are not, as a share of all steps.
_LARGEST_WASTE = 0.05


class Ahead(NamedTuple):
  """A teacher that answers several batches in one pass.

  Attributes:
    teacher: Runs in inference mode, where it answers each example for itself.
    names: Which of its outputs are kept for the steps.
    batches: How many are answered in one pass; at least 1. Fewer where an
      epoch's steps would otherwise have to be filled up by more than a
      twentieth.
  """

  teacher: Model
  names: Collection[str]
  batches: int


def scan_ahead(
  train_step: Callable,
  ahead: Ahead,
  teacher_variables: Any,
  batch_of: Callable[[jax.Array], Mapping],
  states: Any,
  steps: int,
) -> tuple[Any, Any]:
  """All steps of an epoch, as `jax.lax.scan`, in windows of `ahead.batches`.

  Args:
    train_step: Takes the teacher's outputs from `batch['teacher']`.
    ahead: The teacher.
    teacher_variables: Its variables.
    batch_of: Gives the batch of a step; pure.
    states: Before the first step.
    steps: How many there are.

  Returns:
    The states after the last step, and metrics `[steps, ...]`.
  """
  window = _window(ahead.batches, steps)

  def one_step(states, given):
    step, batch = given
    new, metrics = train_step(states, None, batch)
    if steps % window:
      # The last window is filled up with steps that are computed in vain.
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

  states, metrics = jax.lax.scan(
    one_window, states, jnp.arange(0, steps, window)
  )
  return states, jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:])[:steps], metrics
  )


def _window(batches: int, steps: int) -> int:
  """The most batches in a pass for which few steps are computed in vain."""
  fitting = (
    window
    for window in range(min(batches, steps), 0, -1)
    if -steps % window <= _LARGEST_WASTE * steps
  )
  return next(fitting)


def _answers(
  ahead: Ahead, variables: Any, batches: Mapping
) -> dict[str, jax.Array]:
  """Outputs `[batches, n, ...]` for batches whose arrays begin likewise."""
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
