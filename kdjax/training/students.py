"""Two ways to run a step over several students in one program.

Both take a function of one student's tree and shared arguments, and return a
function of stacked trees (a leading student axis on every leaf) and the same
shared arguments. Results that do not depend on the student, such as the
teacher's outputs, are computed once.
"""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp


def vmapped(function: Callable) -> Callable:
  """Vectorises over students; best if small students underfill the device."""
  shared = len(inspect.signature(function).parameters) - 1
  return jax.vmap(function, in_axes=(0, *(None for _ in range(shared))))


def unrolled(function: Callable) -> Callable:
  """Runs one student after another; keeps fast kernels, compiles longer.

  A vmapped convolution with one kernel per student is a grouped convolution,
  which is slow on CPU.
  """

  def over_students(stacked, *shared):
    count = jax.tree.leaves(stacked)[0].shape[0]
    results = [
      function(jax.tree.map(lambda leaf: leaf[i], stacked), *shared)  # noqa: B023
      for i in range(count)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

  return over_students
