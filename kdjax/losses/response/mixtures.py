"""Divergences from mixtures of student and teacher, near agreement too.

With `r = q / p - 1`, each class adds a function of `r` that begins with `r**2`.
Where `r` is small that function is summed as a series; elsewhere it is the
difference of logarithms that it stands for.
"""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space

# Up to this ratio the series of a logarithm is used; they converge slowly.
_SERIES = 0.125


def jensen_shannon(
  p_logits: chex.Array,
  difference: chex.Array,
  keep: chex.Array,
  share: chex.Numeric,
) -> jax.Array:
  """`b KL(p || m) + (1 - b) KL(q || m)` with `m = b p + (1 - b) q`.

  Args:
    p_logits: Shape `[..., classes]`.
    difference: Logits of `q` less those of `p`, same shape.
    keep: The classes that there are.
    share: `b`, above 0 and below 1; a scalar or of shape `[...]`.
  """
  log_p, log_ratio = _log_ratio(p_logits, difference, keep)
  p, q = jnp.exp(log_p), jnp.exp(log_p + log_ratio)
  b = contract.over_classes(share)
  log_mixture = _log_mixture(log_ratio, b)
  far = b * p * -log_mixture + (1 - b) * q * (log_ratio - log_mixture)
  ratio = _ratio(log_ratio)
  near = p * (
    (1 - b) * _entropy_excess(ratio) - _entropy_excess((1 - b) * ratio)
  )
  return _summed(log_ratio, near, far, keep)


def from_mixture(
  p_logits: chex.Array,
  difference: chex.Array,
  keep: chex.Array,
  share: chex.Numeric,
) -> jax.Array:
  """`KL(p || a p + (1 - a) q)`, the skew divergence.

  Args:
    p_logits: Shape `[..., classes]`.
    difference: Logits of `q` less those of `p`, same shape.
    keep: The classes that there are.
    share: `a`, from 0 to below 1; a scalar or of shape `[...]`.
  """
  log_p, log_ratio = _log_ratio(p_logits, difference, keep)
  p, q = jnp.exp(log_p), jnp.exp(log_p + log_ratio)
  a = contract.over_classes(share)
  # The differences (1 - a) (q - p) sum to 0 and make every term positive.
  far = (1 - a) * (q - p) - p * _log_mixture(log_ratio, a)
  near = p * _log_excess((1 - a) * _ratio(log_ratio))
  return _summed(log_ratio, near, far, keep)


def _log_ratio(p_logits, difference, keep):
  """`log p` and `log q - log p`; 0 where a class is not kept."""
  log_p = log_space.log_probabilities(p_logits, keep)
  some = jnp.where(keep, difference, 0)
  mean = jnp.sum(jnp.where(keep, jnp.exp(log_p) * some, 0), axis=-1)
  gain = mean + log_space.divergence(p_logits, difference, keep)
  return log_p, jnp.where(keep, some - gain[..., None], 0)


def _log_mixture(log_ratio: chex.Array, share: chex.Numeric) -> jax.Array:
  """`log((a p + (1 - a) q) / p)`, from the logarithm of `q / p`."""
  share = jnp.asarray(share, log_ratio.dtype)
  some = share > 0
  log_share = jnp.where(some, jnp.log(jnp.where(some, share, 1)), -jnp.inf)
  return jnp.logaddexp(log_share, jnp.log1p(-share) + log_ratio)


def _ratio(log_ratio: chex.Array) -> jax.Array:
  """`q / p - 1`, 0 where it is not small."""
  return jnp.expm1(jnp.where(jnp.abs(log_ratio) < _SERIES, log_ratio, 0))


def _summed(log_ratio, near, far, keep) -> jax.Array:
  terms = jnp.where(jnp.abs(log_ratio) < _SERIES, near, far)
  total = jnp.sum(jnp.where(keep, terms, 0), axis=-1)
  # Not `maximum`, which halves the second derivative at agreement.
  total = jnp.where(total < 0, 0, total)
  return jnp.where(jnp.any(keep, axis=-1), total, jnp.nan)


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
