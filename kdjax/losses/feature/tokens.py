"""Which tokens and which pairs of tokens a mask leaves."""

import chex
import jax
import jax.numpy as jnp


def without_padding(x: chex.Array, mask: chex.Array | None) -> jax.Array:
  """Tokens with padding set to zero; padding may hold NaN.

  Args:
    x: Shape `[batch, tokens, dim]`.
    mask: None, or shape `[batch, tokens]`, zero for padding.
  """
  # Not times the mask: 0 * NaN is NaN.
  return jnp.where(_valid(x, mask), x, 0)


def centred(x: chex.Array, mask: chex.Array | None) -> jax.Array:
  """Tokens minus the mean token of their example; padding becomes zero.

  Args:
    x: Shape `[batch, tokens, dim]`.
    mask: None, or shape `[batch, tokens]`, zero for padding.
  """
  valid = _valid(x, mask)
  count = jnp.maximum(jnp.sum(valid, axis=1, keepdims=True), 1)
  total = jnp.sum(jnp.where(valid, x, 0), axis=1, keepdims=True)
  return jnp.where(valid, x - total / count.astype(x.dtype), 0)


def valid_pairs(scores: chex.Array, mask: chex.Array | None) -> jax.Array:
  """Pairs of a query and a key that are both tokens, not padding.

  Args:
    scores: Shape `[batch, heads, tokens, tokens]`.
    mask: None, or shape `[batch, tokens]`, zero for padding.

  Returns:
    Booleans, shape `[batch, 1, tokens, tokens]`.
  """
  batch, _, queries, keys = scores.shape
  chex.assert_equal(queries, keys)
  if mask is None:
    return jnp.ones((batch, 1, queries, keys), bool)
  chex.assert_shape(mask, (batch, queries))
  valid = jnp.asarray(mask).astype(bool)
  return valid[:, None, :, None] & valid[:, None, None, :]


def _valid(x: chex.Array, mask: chex.Array | None) -> jax.Array:
  """The mask as booleans of shape `[batch, tokens, 1]`."""
  if mask is None:
    return jnp.ones((*x.shape[:2], 1), bool)
  chex.assert_shape(mask, x.shape[:2])
  return jnp.asarray(mask).astype(bool)[..., None]
