"""Log-space arithmetic that the losses on logits share.

Masked classes: a class is left out where either network's logit is -inf, or so
low that it is meant as -inf. Losses are those of the other classes.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from kdjax.losses import contract, numerics

# Logits at or below this, or half the lowest number of their dtype, are masks:
# -1e9 and `finfo.min` are in use, also after a division by a temperature.
_MASKED = -1e8

# Below this size `exp(x) - 1 - x` is summed as a series: the subtraction would
# lose a tenth of the digits or more.
_SERIES = 0.5


def masked(logits: chex.Array) -> jax.Array:
  """Which classes a network leaves out, as booleans; of the original dtype."""
  lowest = float(jnp.finfo(logits.dtype).min) / 2
  return jnp.asarray(logits) <= max(lowest, _MASKED)


def pair(
  student: chex.Array, teacher: chex.Array, valid: chex.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Both logits in float32 at least, and the classes that both have.

  Logits of masked classes are 0, and so are those of positions that do not
  count, which may hold NaN. A class that is NaN or inf in a network is not left
  out otherwise, so that a divergence shows.

  Args:
    student: Shape `[..., classes]`.
    teacher: Same shape.
    valid: Which positions count, `[...]`, or None.
  """
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  if valid is not None:
    # Before the loss, for the gradient: 0 * NaN in its backward pass is NaN.
    student = jnp.where(valid[..., None], student, 0)
    teacher = jnp.where(valid[..., None], teacher, 0)
  low = masked(student) | masked(teacher)
  infinite = float('inf')
  keep = ~(low & (student < infinite) & (teacher < infinite))
  return (
    jnp.where(keep, numerics.at_least_float32(student), 0),
    jnp.where(keep, numerics.at_least_float32(teacher), 0),
    keep,
  )


def single(
  logits: chex.Array, valid: chex.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """The logits of one network and the classes it has, as `pair`."""
  chex.assert_type(logits, float)
  if valid is not None:
    logits = jnp.where(valid[..., None], logits, 0)
  keep = ~masked(logits)
  return jnp.where(keep, numerics.at_least_float32(logits), 0), keep


def softened_divergence(
  p_logits: chex.Array,
  q_logits: chex.Array,
  keep: chex.Array,
  temperature: chex.Numeric,
) -> jax.Array:
  """`KL(softmax(p / t) || softmax(q / t))` over the kept classes, in nats."""
  by = contract.over_classes(temperature)
  # The difference first: at high temperatures it is all that counts, and the
  # quotients share most of their digits.
  return divergence(p_logits / by, (q_logits - p_logits) / by, keep)


@functools.partial(jax.custom_jvp)
def divergence(
  p_logits: chex.Array, difference: chex.Array, keep: chex.Array
) -> jax.Array:
  """`KL(softmax(p) || softmax(p + difference))` over the last axis, in nats.

  `log sum p exp(c)` with `c` the difference less its mean under `p`. As
  `sum p c = 0`, it is `log1p(sum p (exp(c) - 1 - c))`, a sum of terms that are
  not negative: accurate to the last digits however alike the distributions
  are, where `sum p (log p - log q)` cancels.

  Args:
    p_logits: Shape `[..., classes]`, finite where kept.
    difference: The other logits less these, same shape.
    keep: Booleans of that shape; the classes that there are.

  Returns:
    Shape `[...]`, never negative; NaN where no class is kept.
  """
  return _divergence(p_logits, difference, keep)[0]


@functools.partial(divergence.defjvp, symbolic_zeros=True)
def _divergence_jvp(primals, tangents):
  value, (p, terms, c, total, far, q) = _divergence(*primals)
  by_difference = jnp.where(far, q - p, (terms + p * (c - total)) / (1 + total))
  keep = primals[2]
  by_difference = jnp.where(keep, by_difference, 0)
  slope = jnp.zeros_like(value)
  if not isinstance(tangents[1], SymbolicZero):
    slope += jnp.sum(by_difference * tangents[1], axis=-1)
  if not isinstance(tangents[0], SymbolicZero):
    near = (terms - p * total * (1 + c)) / (1 + total)
    by_p = jnp.where(keep, jnp.where(far, q - p - p * c, near), 0)
    slope += jnp.sum(by_p * tangents[0], axis=-1)
  return value, slope


def _divergence(p_logits, difference, keep):
  """The divergence and what its slopes are made of."""
  lowest = jnp.where(keep, p_logits, -jnp.inf)
  highest = jax.lax.stop_gradient(jnp.max(lowest, axis=-1, keepdims=True))
  relative = jnp.where(keep, p_logits - highest, -jnp.inf)
  powers = jnp.exp(relative)
  norm = jnp.sum(powers, axis=-1, keepdims=True)
  p = powers / norm
  c = jnp.where(keep, difference, 0)
  c -= jnp.sum(p * c, axis=-1, keepdims=True)
  log_share = relative - jnp.log(norm) + c  # log(p exp(c))
  top = jax.lax.stop_gradient(jnp.max(log_share, axis=-1, keepdims=True))
  # So far apart that nothing cancels; and the exponentials might overflow.
  far = top > 1
  shift = jnp.where(far, top, 0)
  shares = jnp.exp(log_share - shift)
  small = jnp.abs(c) < _SERIES
  series = p * exponential_excess(jnp.where(small, c, 0))
  terms = jnp.where(small, series, shares - p - p * c)
  terms = jnp.where(keep & ~far, terms, 0)
  total = jnp.sum(terms, axis=-1, keepdims=True)
  all_shares = jnp.sum(shares, axis=-1, keepdims=True)
  value = jnp.where(far, shift + jnp.log(all_shares), jnp.log1p(total))
  value = jnp.where(jnp.any(keep, axis=-1), value[..., 0], jnp.nan)
  return value, (p, terms, c, total, far, shares / all_shares)


def exponential_excess(x: chex.Array) -> jax.Array:
  """`exp(x) - 1 - x` as a series, for `|x| <= 1 / 2`."""
  # As many terms x**n / n! as the dtype can tell from zero.
  last = 8 if x.dtype.itemsize < 8 else 15
  result = jnp.full_like(x, 1 / math.factorial(last))
  for n in range(last - 1, 1, -1):
    result = 1 / math.factorial(n) + x * result
  return result * x * x


def beside_zero(log_odds: chex.Array) -> jax.Array:
  """Logits of yes and no, shape `[..., 2]`."""
  return jnp.stack([log_odds, jnp.zeros_like(log_odds)], axis=-1)


def log_probabilities(logits: chex.Array, keep: chex.Array) -> jax.Array:
  """Log softmax over the kept classes, -inf elsewhere; NaN where none is."""
  kept = jnp.where(keep, logits, 0)
  found = jax.nn.log_softmax(kept, axis=-1, where=keep)
  found = jnp.where(keep, found, -jnp.inf)
  return jnp.where(jnp.any(keep, axis=-1, keepdims=True), found, jnp.nan)


def cross_entropy(log_p: chex.Array, log_q: chex.Array) -> jax.Array:
  """`-sum p log q` in nats over the last axis: `[..., classes] -> [...]`.

  Classes that the target leaves out with -inf add nothing.
  """
  # 0 * -inf would be NaN where the target distribution leaves a class out.
  out = log_p == -jnp.inf
  return -jnp.sum(jnp.exp(log_p) * jnp.where(out, 0, log_q), axis=-1)


class Others(NamedTuple):
  """The labelled class and what is left beside it.

  Attributes:
    target: Booleans, true at the label, shape `[..., classes]`; nowhere where
      the label is no class that is kept.
    kept: The other classes that are kept; where there is none, the label, so
      that a distribution over them is certain and has no gradient.
    any: Whether there is another class, shape `[...]`.
    labelled: Whether the label is a class that is kept, shape `[...]`.
  """

  target: jax.Array
  kept: jax.Array
  any: jax.Array
  labelled: jax.Array


def others(labels: chex.Array, keep: chex.Array) -> Others:
  """Splits the kept classes, `[..., classes]`, into the label and the rest."""
  target = jax.nn.one_hot(labels, keep.shape[-1], dtype=jnp.bool_) & keep
  rest = keep & ~target
  some = jnp.any(rest, axis=-1)
  kept = jnp.where(some[..., None], rest, target)
  return Others(target, kept, some, jnp.any(target, axis=-1))


def target_log_odds(logits: chex.Array, split: Others) -> jax.Array:
  """`log(p / (1 - p))` of the labelled class: `[..., classes] -> [...]`.

  `log_sigmoid` of it is `log p` and of its negative `log(1 - p)`, both to full
  relative accuracy, where `log(1 - exp(log p))` loses whatever lies below the
  rounding error of 1 and `log(sum of p)` reaches -inf. Infinite, without
  gradient, where there is no other class or the label is masked.
  """
  own = jnp.sum(jnp.where(split.target, logits, 0), axis=-1, keepdims=True)
  # Differences first: a logsumexp of logits of 1e4 is rounded to 1e-3.
  odds = -jax.nn.logsumexp(logits - own, axis=-1, where=split.kept)
  odds = jnp.where(split.any, odds, jnp.inf)
  return jnp.where(split.labelled, odds, -jnp.inf)


def label_cross_entropy(
  logits: chex.Array, keep: chex.Array, labels: chex.Array
) -> jax.Array:
  """`-log p` of the labels, to full relative accuracy where `p` is near 1.

  Args:
    logits: Shape `[..., classes]`.
    keep: Booleans of that shape.
    labels: Integers `[...]`, or distributions `[..., classes]`.
  """
  if labels.ndim == logits.ndim:
    log_q = log_probabilities(logits, keep)
    labels = jnp.asarray(labels, logits.dtype)
    return -jnp.sum(labels * jnp.where(labels == 0, 0, log_q), axis=-1)
  odds = target_log_odds(logits, others(labels, keep))
  return -jax.nn.log_sigmoid(odds)


def counted(
  mask: chex.Array | None,
  shape: tuple[int, ...],
  labels: chex.Array | None = None,
  ignore: int | None = None,
) -> jax.Array | None:
  """Which positions count, as booleans of `shape`; None for all of them."""
  valid = None
  if mask is not None:
    chex.assert_shape(mask, shape)
    valid = jnp.asarray(mask).astype(bool)
  if ignore is None or labels is None or labels.shape != shape:
    return valid
  kept = jnp.asarray(labels) != ignore
  return kept if valid is None else valid & kept


def of_positions(
  losses: chex.Array,
  valid: chex.Array | None,
  labels: chex.Array | None = None,
  classes: int = 0,
) -> jax.Array:
  """Losses with NaN where a label is no class, 0 where a position is left out.

  Args:
    losses: Shape `[...]`.
    valid: From `counted`.
    labels: Integers `[...]`, or whatever needs no such check.
    classes: How many there are.
  """
  if labels is not None and labels.shape == losses.shape:
    labels = jnp.asarray(labels)
    known = (labels >= 0) & (labels < classes)
    losses = jnp.where(known, losses, jnp.nan)
  return losses if valid is None else jnp.where(valid, losses, 0)
