"""Log-space arithmetic that the losses on logits share."""

import chex
import jax
import jax.numpy as jnp


def kl_divergence(log_p: chex.Array, log_q: chex.Array) -> jax.Array:
  """`KL(p || q)` in nats over the last axis: `[..., classes] -> [...]`.

  A class with `log_p = -inf` adds nothing, whatever `q` says of it.
  """
  possible = log_p > -jnp.inf
  log_ratio = jnp.where(possible, log_p, 0) - jnp.where(possible, log_q, 0)
  return jnp.sum(jnp.exp(log_p) * log_ratio, axis=-1)


def cross_entropy(log_p: chex.Array, log_q: chex.Array) -> jax.Array:
  """`-sum p log q` in nats over the last axis: `[..., classes] -> [...]`."""
  # 0 * -inf would be NaN where the target distribution leaves a class out.
  log_q = jnp.where(log_p > -jnp.inf, log_q, 0)
  return -jnp.sum(jnp.exp(log_p) * log_q, axis=-1)


def is_target(labels: chex.Array, classes: int) -> jax.Array:
  """One-hot booleans: `[...] -> [..., classes]`."""
  return jax.nn.one_hot(labels, classes, dtype=jnp.bool_)


def target_log_odds(logits: chex.Array, labels: chex.Array) -> jax.Array:
  """`log(p / (1 - p))` of the labelled class: `[..., classes] -> [...]`.

  `log_sigmoid` of it is `log p` and of its negative `log(1 - p)`, both to full
  relative accuracy, where `log(1 - exp(log p))` loses whatever lies below the
  rounding error of 1 and `log(sum of p)` reaches -inf. One class has infinite
  odds and no gradient.
  """
  classes = logits.shape[-1]
  if classes == 1:
    return jnp.full(logits.shape[:-1], jnp.inf, logits.dtype)
  target = is_target(labels, classes)
  own = jnp.sum(jnp.where(target, logits, 0), axis=-1, keepdims=True)
  # Differences first: a logsumexp of logits of 1e4 is rounded to 1e-3.
  return -jax.nn.logsumexp(logits - own, axis=-1, where=~target)


def other_log_probabilities(
  logits: chex.Array, labels: chex.Array
) -> jax.Array:
  """Log probabilities of the other classes, given that it is not the label.

  Shape `[..., classes]`, -inf at the labelled class (everywhere if there is
  only that one).
  """
  classes = logits.shape[-1]
  if classes == 1:
    return jnp.full_like(logits, -jnp.inf)
  others = ~is_target(labels, classes)
  return jax.nn.log_softmax(logits, axis=-1, where=others)
