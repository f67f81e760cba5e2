"""Divergences from mixtures of student and teacher, near agreement too.

With `r = q / p - 1`, each class adds a function of `r` that begins with `r**2`.
Where `r` is small that function is summed as a series; elsewhere it is the
difference of logarithms that it stands for.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from kdjax.losses import contract
from kdjax.losses.response import log_space

# Up to this size the series of a logarithm is used; they converge slowly.
_SERIES = 0.125

# Above this logarithm of `q / p`, `(1 - a) (q / p - 1)` is not small for any
# `a` below 1 that float64 holds, and float32 holds the exponential.
_FAR = 40.0

# Below this logarithm of `q / p`, `p / q` would leave the range of float32.
_LOWEST = -80.0


class Predictions(NamedTuple):
  """Two distributions over classes, each in logarithms of its own.

  All are of shape `[..., classes]` and 0 where a class is not kept.

  Attributes:
    log_p: Of the first.
    log_q: Of the second. Not `log_p + log_ratio`, which loses the digits of a
      likely class that the first finds very unlikely.
    log_ratio: `log q - log p`, accurate where the two agree.
  """

  log_p: jax.Array
  log_q: jax.Array
  log_ratio: jax.Array


def predictions(
  p_logits: chex.Array,
  q_logits: chex.Array,
  keep: chex.Array,
  temperature: chex.Numeric,
) -> Predictions:
  """The softened predictions of two networks, and their ratio.

  Args:
    p_logits: Shape `[..., classes]`, finite where kept.
    q_logits: Same shape.
    keep: The classes that there are, as booleans of that shape.
    temperature: Softens both; a scalar or of shape `[...]`.
  """
  by = contract.over_classes(temperature)
  difference = (q_logits - p_logits) / by
  return _compared(p_logits / by, q_logits / by, difference, keep)


def _compared(p_logits, q_logits, difference, keep) -> Predictions:
  difference = jnp.where(keep, difference, 0)
  log_p = log_space.log_probabilities(p_logits, keep)
  log_q = log_space.log_probabilities(q_logits, keep)
  log_p, log_q = (jnp.where(keep, x, 0) for x in (log_p, log_q))
  # The logarithm of the sum of `q` gains the mean difference and the excess.
  terms = jnp.where(keep, jnp.exp(log_p) * difference, 0)
  mean = jnp.sum(terms, axis=-1, keepdims=True)
  excess = log_space.divergence(p_logits, q_logits, difference, keep)[..., None]
  # The subtraction of the smaller numbers is rounded less: that of
  # logits where the two agree, that of logarithms where logits are huge. The
  # rounding of a logarithm is that of 1 at least, by the sum inside of it.
  sizes = jnp.abs(difference) + jnp.abs(mean) + excess
  log_ratio = jnp.where(
    2 + jnp.abs(log_p) + jnp.abs(log_q) < sizes,
    log_q - log_p,
    difference - (mean + excess),
  )
  return Predictions(log_p, log_q, jnp.where(keep, log_ratio, 0))


def jensen_shannon(
  p_logits: chex.Array,
  q_logits: chex.Array,
  keep: chex.Array,
  temperature: chex.Numeric,
  share: chex.Numeric,
) -> jax.Array:
  """`b KL(p || m) + (1 - b) KL(q || m)` with `m = b p + (1 - b) q`.

  Args:
    p_logits: Shape `[..., classes]`, finite where kept.
    q_logits: Same shape.
    keep: The classes that there are, as booleans of that shape.
    temperature: Softens both; a scalar or of shape `[...]`.
    share: `b`, above 0 and below 1; a scalar or of shape `[...]`.

  Returns:
    Shape `[...]`.
  """
  by = contract.over_classes(temperature)
  difference = (q_logits - p_logits) / by
  share = jnp.asarray(contract.over_classes(share), difference.dtype)
  return _jensen_shannon(p_logits / by, q_logits / by, difference, keep, share)


@jax.custom_jvp
def _jensen_shannon(p_logits, q_logits, difference, keep, b) -> jax.Array:
  found = _compared(p_logits, q_logits, difference, keep)
  return _of_both(found, keep, b)[0]


@functools.partial(_jensen_shannon.defjvp, symbolic_zeros=True)
def _jensen_shannon_jvp(primals, tangents):
  # In closed form: automatic differentiation would hold ten arrays as large
  # as the logits.
  p_logits, q_logits, difference, keep, b = primals
  found = _compared(p_logits, q_logits, difference, keep)
  value, of_p, of_q = _of_both(found, keep, b)
  slope = jnp.zeros_like(value)
  parts = []
  for log_share, gain, share in (
    (found.log_p, of_p, b),
    (found.log_q, of_q, 1 - b),
  ):
    weights = jnp.where(keep, jnp.exp(log_share), 0)
    mean = jnp.sum(weights * gain, axis=-1, keepdims=True)
    parts.append((share * weights * (gain - mean), mean[..., 0]))
  for (part, _), tangent in zip(parts, tangents[:2], strict=True):
    if not isinstance(tangent, SymbolicZero):
      slope += jnp.sum(part * tangent, axis=-1)
  if not isinstance(tangents[4], SymbolicZero):
    moved = tangents[4] if tangents[4].ndim == 0 else tangents[4][..., 0]
    slope += (parts[0][1] - parts[1][1]) * moved
  return value, slope


def _of_both(found: Predictions, keep, b):
  """The divergence, and logarithms of `p / m` and `q / m` of each class."""
  p, q = jnp.exp(found.log_p), jnp.exp(found.log_q)
  log_ratio = found.log_ratio
  # The mixture over the larger of the two. Over each, it is not a difference
  # of huge numbers then.
  above, below = jnp.maximum(log_ratio, 0), jnp.minimum(log_ratio, 0)
  over = jnp.logaddexp(jnp.log(b) - above, jnp.log1p(-b) + below)
  ratio = jnp.expm1(jnp.clip(log_ratio, -1, 1))
  alike = jnp.abs(log_ratio) < 1
  of_p = -jnp.where(alike, jnp.log1p((1 - b) * ratio), over + above)
  of_q = jnp.where(alike, log_ratio + of_p, below - over)
  small = jnp.abs(log_ratio) < _SERIES
  ratio = jnp.where(small, ratio, 0)
  near = p * (
    (1 - b) * _entropy_excess(ratio) - _entropy_excess((1 - b) * ratio)
  )
  terms = jnp.where(small, near, b * p * of_p + (1 - b) * q * of_q)
  return summed(terms, keep), of_p, of_q


def with_slopes(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """An elementwise function that computes its slopes beside its value.

  Its backward pass then holds one array for each argument, not every array in
  between; and derivatives of any order are those of the function.
  """
  result = jax.custom_jvp(function)

  @functools.partial(result.defjvp, symbolic_zeros=True)
  def jvp(primals, tangents):
    value = function(*primals)
    total = jnp.zeros_like(value)
    for i, tangent in enumerate(tangents):
      if not isinstance(tangent, SymbolicZero):
        _, slope = jax.jvp(
          lambda x, i=i: function(*primals[:i], x, *primals[i + 1 :]),
          primals[i : i + 1],
          (jnp.ones_like(primals[i]),),
        )
        total += slope * tangent
    return value, total

  return result


def from_mixture(
  found: Predictions, keep: chex.Array, share: chex.Numeric
) -> jax.Array:
  """`KL(p || a p + (1 - a) q)`, the skew divergence.

  Args:
    found: Of `p` and `q`.
    keep: The classes that there are, `[..., classes]`.
    share: `a`, from 0 to below 1; a scalar or of shape `[...]`.

  Returns:
    Shape `[...]`.
  """
  return summed(_from_mixture(*found, contract.over_classes(share)), keep)


@with_slopes
def _from_mixture(log_p, log_q, log_ratio, a) -> jax.Array:
  """The term of each class."""
  p, q = jnp.exp(log_p), jnp.exp(log_q)
  # The logarithm of a share of 0 has no derivative, but the mixture has: this
  # adds it, and nothing to the value.
  slope = jnp.exp(-jnp.maximum(log_ratio, _LOWEST))
  slope = jnp.where(jnp.asarray(a) > 0, 0, a * slope)
  excess = (1 - a) * jnp.expm1(jnp.minimum(log_ratio, _FAR))
  # These sum to 0 and make every term positive. The ratio knows the difference
  # of similar probabilities to more digits than they do themselves.
  more = jnp.where(log_ratio < 1, p * excess, (1 - a) * (q - p))
  far = more - p * (_log_mixture(log_ratio, a) + slope)
  small = jnp.abs(excess) < _SERIES
  near = p * _log_excess(jnp.where(small, excess, 0))
  return jnp.where(small, near, far)


def summed(terms: chex.Array, keep: chex.Array) -> jax.Array:
  """A divergence from what its classes add, `[..., classes] -> [...]`.

  Args:
    terms: Not negative but for rounding.
    keep: The classes that there are, same shape; NaN where there is none.
  """
  total = jnp.sum(jnp.where(keep, terms, 0), axis=-1)
  # Not `maximum`, which halves the second derivative at agreement.
  total = jnp.where(total < 0, 0, total)
  return jnp.where(jnp.any(keep, axis=-1), total, jnp.nan)


def _log_mixture(log_ratio: chex.Array, share: chex.Numeric) -> jax.Array:
  """`log((a p + (1 - a) q) / p)`, from the logarithm of `q / p`."""
  share = jnp.asarray(share, log_ratio.dtype)
  some = share > 0
  log_share = jnp.where(some, jnp.log(jnp.where(some, share, 1)), -jnp.inf)
  return jnp.logaddexp(log_share, jnp.log1p(-share) + log_ratio)


def _log_excess(x: chex.Array) -> jax.Array:
  """`x - log(1 + x)` as a series, for small `x`."""
  return x * x * _series(x, lambda n: 1 / (n + 2))


def _entropy_excess(x: chex.Array) -> jax.Array:
  """`(1 + x) log(1 + x) - x` as a series, for small `x`."""
  return x * x * _series(x, lambda n: 1 / ((n + 1) * (n + 2)))


def _series(x: chex.Array, coefficient) -> jax.Array:
  """`sum_n coefficient(n) (-x)**n`, to the precision of the dtype."""
  last = 8 if x.dtype.itemsize < 8 else 17
  result = jnp.full_like(x, coefficient(last))
  for n in range(last - 1, -1, -1):
    result = coefficient(n) - x * result
  return result
