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

# Two networks' highest logits differ by less where their difference is worth
# more than the logits of each: above, it is rounded as much as they are.
_ALIKE = 8.0


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
  # The logits are subtracted before they are divided: quotients at a high
  # temperature share most of their digits.
  difference = (q_logits - p_logits) / by
  return divergence(p_logits / by, q_logits / by, difference, keep)


@jax.custom_jvp
def divergence(
  p_logits: chex.Array,
  q_logits: chex.Array,
  difference: chex.Array,
  keep: chex.Array,
) -> jax.Array:
  """`KL(softmax(p) || softmax(q))` over the last axis, in nats.

  Where the two are alike it is `log1p(sum p (exp(c) - 1 - c))`, with `c` the
  difference of the logits less its mean under `p`: a sum of terms that are not
  negative, where `sum p (log p - log q)` cancels. Elsewhere it is that sum, of
  logarithms that each network's own logits give, however large they are.

  Args:
    p_logits: Shape `[..., classes]`, finite where kept.
    q_logits: Same shape.
    difference: `q_logits - p_logits`, same shape, with all the digits that the
      caller has: the logits may be rounded quotients. The first derivative
      does not read its tangent.
    keep: Booleans of that shape; the classes that there are.

  Returns:
    Shape `[...]`, never negative; NaN where no class is kept.
  """
  return _divergence(p_logits, q_logits, difference, keep)[0]


@functools.partial(divergence.defjvp, symbolic_zeros=True)
def _divergence_jvp(primals, tangents):
  value, (p, q, c, terms, total, far) = _divergence(*primals)
  slope = jnp.zeros_like(value)
  if not isinstance(tangents[1], SymbolicZero):
    near = (terms + p * (c - total)) * (1 / (1 + total))
    by_q = jnp.where(far, q - p, near)
    slope += jnp.sum(by_q * tangents[1], axis=-1)
  if not isinstance(tangents[0], SymbolicZero):
    # Centred again: where one class has nearly all of `p`, its `c` is as small
    # as the rounding error of the mean.
    mean = jnp.sum(p * c, axis=-1, keepdims=True)
    slope += jnp.sum(p * (mean - c) * tangents[0], axis=-1)
  return value, slope


def _divergence(p_logits, q_logits, difference, keep):
  """The divergence and what its slopes are made of."""
  p_own, p_powers, p_norm, p_highest = _powers(p_logits, keep)
  q_own, q_powers, q_norm, q_highest = _powers(q_logits, keep)
  offset = q_highest - p_highest
  c = jnp.where(jnp.abs(offset) < _ALIKE, difference - offset, q_own - p_own)
  c = jnp.where(keep, c, 0)
  mean = jnp.sum(p_powers * c, axis=-1, keepdims=True) / p_norm
  norms = jnp.log(q_norm) - jnp.log(p_norm)
  far = norms - mean > _SERIES  # This is the divergence, but for rounding.
  gain = jnp.exp(jnp.where(far, 0, norms - mean))
  p, q = p_powers / p_norm, q_powers / q_norm
  apart = p * (norms - c)
  c -= mean
  small = jnp.abs(c) < _SERIES
  series = p * exponential_excess(jnp.where(small, c, 0))
  near = jnp.where(small, series, q * gain - p - p * c)
  terms = jnp.where(far, apart, near)
  total = jnp.sum(terms, axis=-1, keepdims=True)
  value = jnp.where(far, total, jnp.log1p(total))
  value = jnp.where(jnp.any(keep, axis=-1), value[..., 0], jnp.nan)
  return value, (p, q, c, terms, total, far)


def _powers(logits, keep):
  """Logits less the highest, their exponentials, the sum, and the highest."""
  # Not -inf: these are multiplied by probabilities of 0.
  lowest = float(jnp.finfo(logits.dtype).min) / 8
  logits = jnp.where(keep, logits, lowest)
  highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
  own = logits - highest
  powers = jnp.exp(own)
  return own, powers, jnp.sum(powers, axis=-1, keepdims=True), highest


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
