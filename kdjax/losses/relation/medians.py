"""The median of many numbers, without sorting them."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import placement


def median(x: chex.Array, where: chex.Array) -> jax.Array:
  """Median of the selected entries; the mean of both middles if even.

  Its gradient is shared by all entries that are equal to a middle. NaN where
  any selected entry is.

  Args:
    x: Not negative.
    where: Which of its entries count.
  """
  last = jnp.maximum(jnp.sum(where), 1) - 1
  low = _ordered(x, where, last // 2)
  # The next one up, unless there are more of the same.
  more = jnp.sum(where & (x <= low)) > (last + 1) // 2
  above = jnp.min(jnp.where(where & (x > low), x, jnp.inf))
  high = jnp.where(more, low, above)

  def share(value):
    equal = where & (x == value)
    count = jnp.maximum(jnp.sum(equal), 1).astype(x.dtype)
    return jnp.sum(jnp.where(equal, x, 0)) / count

  # NaN has no place in an order, and equals nothing.
  unknown = jnp.any(where & jnp.isnan(x))
  return jnp.where(unknown, jnp.nan, (share(low) + share(high)) / 2)


def _ordered(x: chex.Array, where: chex.Array, rank: chex.Numeric) -> jax.Array:
  """The selected entry of that rank, from 0, found without sorting.

  Numbers that are not negative are in the order of their bits, so the entry is
  found by halving the range of bit patterns: 31 counts, where sorting `N^2`
  numbers takes longer than all else in RBF CKA.
  """
  bits = jax.lax.bitcast_convert_type(
    jax.lax.stop_gradient(x), jnp.int32 if x.dtype.itemsize == 4 else jnp.int64
  )
  top = jnp.iinfo(bits.dtype).max - 1  # above infinity; top + 1 is a number

  def halve(_, bounds):
    low, high = bounds  # the pattern is within (low, high]
    middle = low + (high - low) // 2
    enough = jnp.sum(where & (bits <= middle)) > rank
    return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

  bounds = placement.varying_like(
    (jnp.full((), -1, bits.dtype), jnp.full((), top, bits.dtype)), bits, where
  )
  _, high = jax.lax.fori_loop(0, 8 * x.dtype.itemsize, halve, bounds)
  return jax.lax.bitcast_convert_type(high, x.dtype)
