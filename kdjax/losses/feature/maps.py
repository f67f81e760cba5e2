"""Arithmetic of losses on feature maps: sizes, channel and unit vectors.

Feature maps are `[batch, height, width, channels]`.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

# A vector shorter than this is the zero vector, which has no direction: it
# maps to zero, and its gradient is zero instead of 1 / length. (PyTorch's
# `normalize` divides by this length, so that a dead channel gets a gradient
# twelve orders of magnitude too large.)
_SHORTEST = 1e-12


def average_pool(maps: chex.Array, size: tuple[int, int]) -> jax.Array:
  """Averages over `size` windows that cover the map, as evenly as they can.

  Window `i` of `n` along an axis of length `m` runs from `floor(i m / n)` to
  `ceil((i + 1) m / n)`: neighbours overlap where `n` does not divide `m`
  (adaptive average pooling, as in PyTorch). A larger size repeats values.

  Args:
    maps: Shape `[batch, height, width, channels]`, float32 at least.
    size: Height and width of the result.

  Returns:
    Shape `[batch, *size, channels]`.
  """
  rows = jnp.asarray(_windows(maps.shape[1], size[0]), maps.dtype)
  columns = jnp.asarray(_windows(maps.shape[2], size[1]), maps.dtype)
  return jnp.einsum(
    'yh,xw,bhwc->byxc',
    rows,
    columns,
    maps,
    precision=jax.lax.Precision.HIGHEST,
  )


def to_common_size(
  student: chex.Array, teacher: chex.Array
) -> tuple[jax.Array, jax.Array]:
  """Average-pools both maps to the smaller height and the smaller width."""
  size = (
    min(student.shape[1], teacher.shape[1]),
    min(student.shape[2], teacher.shape[2]),
  )
  if student.shape[1:3] != size:
    student = average_pool(student, size)
  if teacher.shape[1:3] != size:
    teacher = average_pool(teacher, size)
  return student, teacher


def channel_vectors(maps: chex.Array) -> jax.Array:
  """Each channel as a vector: `[batch, channels, height * width]`."""
  batch, height, width, channels = maps.shape
  return jnp.swapaxes(maps.reshape(batch, height * width, channels), 1, 2)


def unit_vectors(x: chex.Array) -> jax.Array:
  """Vectors along the last axis divided by their length; zero where it is 0."""
  squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  # Not `squares > ...`, which is false for NaN and would hide it.
  short = squares <= _SHORTEST**2
  # Double where: the root of zero has an infinite derivative.
  return x * jnp.where(short, 0, 1 / jnp.sqrt(jnp.where(short, 1, squares)))


def inner_products(x: chex.Array, y: chex.Array) -> jax.Array:
  """All inner products: `[..., n, d]` and `[..., m, d]` to `[..., n, m]`."""
  return jnp.matmul(
    x, jnp.swapaxes(y, -1, -2), precision=jax.lax.Precision.HIGHEST
  )


def _windows(length: int, count: int) -> np.ndarray:
  """The averaging matrix of `count` windows over `length` entries."""
  matrix = np.zeros((count, length))
  for i in range(count):
    start, stop = i * length // count, -(-(i + 1) * length // count)
    matrix[i, start:stop] = 1 / (stop - start)
  return matrix
