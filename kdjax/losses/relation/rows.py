"""Rows of a batch: flattened, of length 1, of a size that squares survive.

Where a quantity does not depend on the scale of its input, the input is
brought to size 1 first, so that neither squares of 1e-30 nor of 1e30 leave
float32. That factor has no gradient: the derivative with respect to it is zero.
"""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics


def flattened(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Features as `[batch, features]`, float32 at least; padding rows are zero.

  Args:
    x: Shape `[batch, ...]`.
    valid: Booleans, shape `[batch]`.
  """
  x = numerics.flat(numerics.at_least_float32(x))
  # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
  return jnp.where(valid[:, None], x, 0)


def count(valid: chex.Array, dtype: chex.ArrayDType) -> jax.Array:
  """How many rows are valid, 1 at least, for use as a divisor."""
  return jnp.maximum(jnp.sum(valid), 1).astype(dtype)


def scaled(x: chex.Array) -> jax.Array:
  """The array over its largest magnitude, a constant; zeros stay zeros."""
  return numerics.safe_divide(x, _magnitude(x, axis=None))


def unit(x: chex.Array) -> jax.Array:
  """Rows over their length; zero rows stay zero and have no gradient.

  Args:
    x: Shape `[batch, dim]`.
  """
  return unit_and_norms(x)[0]


def unit_and_norms(x: chex.Array) -> tuple[jax.Array, jax.Array]:
  """Rows over their length, and the lengths, shape `[batch, 1]`.

  Args:
    x: Shape `[batch, dim]`.
  """
  magnitude = _magnitude(x, axis=-1)
  x = numerics.safe_divide(x, magnitude)
  norms = numerics.safe_sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
  return numerics.safe_divide(x, norms), norms * magnitude


def _magnitude(x: chex.Array, axis: int | None) -> jax.Array:
  """Largest magnitude, without gradient; 0 if subnormal, to divide safely."""
  x = jax.lax.stop_gradient(x)
  largest = jnp.max(jnp.abs(x), axis=axis, keepdims=axis is not None)
  return jnp.where(largest < jnp.finfo(x.dtype).tiny, 0, largest)
