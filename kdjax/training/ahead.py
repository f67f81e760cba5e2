"""A teacher that answers several batches in one pass, ahead of the students.

A small batch leaves a device idle between kernels, and the teacher waits for no
student: its passes of several steps are one larger pass.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model

# Steps that fill up an epoch's last window, as a share of all steps.
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


class Windows(NamedTuple):
  """The steps of an epoch in windows, as `jax.lax.scan` takes them.

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
  """All steps of an epoch in windows of `ahead.batches`.

  Args:
    train_step: Takes the teacher's outputs from `batch['teacher']`.
    ahead: The teacher.
    teacher_variables: Its variables.
    batch_of: Gives the batch of a step; pure.
    steps: How many there are.
  """
  window = _window(ahead.batches, steps)

  def one_step(states, given):
    step, batch = given
    new, metrics = train_step(states, None, batch)
    if steps % window:
      # The last window is filled up with steps whose result is dropped.
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
  """Metrics of windows as metrics of steps, `[steps, ...]`."""
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:steps], metrics)


def _window(batches: int, steps: int) -> int:
  """The most batches in a pass for which few steps fill up the last window."""
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
