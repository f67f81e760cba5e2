"""Linear embeddings of taps that some losses train: one dense layer a side."""

import math
from collections.abc import Callable, Mapping

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.relation import rows
from kdjax.transforms import base


def initialiser(
  student: str, teacher: str, dim: int | None
) -> Callable[..., base.LossVariables]:
  """`init` of a transform with a dense layer on each side; None for none."""

  def init(key, student_outputs, teacher_outputs):
    base.check_name(student, student_outputs, 'student')
    base.check_name(teacher, teacher_outputs, 'teacher')
    if dim is None:
      return base.LossVariables()
    student_key, teacher_key = jax.random.split(key)
    return base.LossVariables(
      {
        'student': dense(student_key, student_outputs[student], dim),
        'teacher': dense(teacher_key, teacher_outputs[teacher], dim),
      }
    )

  return init


def dense(key: chex.PRNGKey, tap: chex.Array, dim: int) -> chex.ArrayTree:
  """Parameters of a dense layer from a flattened tap to `dim`."""
  wide = jnp.finfo(tap.dtype).bits >= 32
  dtype = tap.dtype if wide else jnp.float32
  layer = nn.Dense(dim, param_dtype=dtype)
  return layer.init(key, jnp.zeros((1, size(tap)), dtype))['params']


def of_both(
  params: Mapping,
  student: chex.Array,
  teacher: chex.Array,
  mask: chex.Array | None,
) -> tuple[jax.Array, jax.Array]:
  """Both taps flattened and, where there is a layer for one, embedded.

  Padding is zero before the layer: NaN there would reach the gradient of the
  kernel, which sums over all rows.
  """
  valid = numerics.valid_rows(student, mask)
  return (
    _embedded(params.get('student'), rows.flattened(student, valid)),
    _embedded(params.get('teacher'), rows.flattened(teacher, valid)),
  )


def size(tap: chex.Array) -> int:
  """Numbers per example."""
  return math.prod(tap.shape[1:])


def _embedded(layer: Mapping | None, x: chex.Array) -> jax.Array:
  if layer is None:
    return x
  product = jnp.matmul(x, layer['kernel'], precision=jax.lax.Precision.HIGHEST)
  return product + layer['bias'][None, :]
