"""Losses between two linear heads, a chunk of tokens at a time.

The logits of all tokens are never held: `tokens x vocabulary` numbers are the
largest thing in a language model. Value and gradients are computed in one pass,
so that nothing is computed twice; the price is that the result is a mean, not
one loss per token.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics

# (logits..., targets...) -> [tokens], from the logits of each head and what
# else is given per token.
TokenLoss = Callable[..., jax.Array]


class Head(NamedTuple):
  """One side of a loss: `hidden @ head` are its logits.

  Attributes:
    hidden: Shape `[tokens, dim]`.
    head: Shape `[dim, vocabulary]`.
  """

  hidden: jax.Array
  head: jax.Array


def mean_loss(
  loss: TokenLoss,
  heads: tuple[Head, ...],
  targets: tuple[jax.Array, ...],
  *,
  mask: chex.Array | None,
  chunk: int,
) -> jax.Array:
  """Mean over the valid tokens of a loss of the heads' logits.

  Args:
    loss: `(*logits, *targets) -> [tokens]`.
    heads: Whose logits it reads; gradients flow to those that are asked for.
    targets: Arrays `[tokens, ...]` that it reads besides, without gradient.
    mask: Shape `[tokens]`, zero for padding, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    A scalar, float32 at least; 0 if no token is valid.
  """
  valid = numerics.valid_rows(heads[0].hidden, mask)
  tokens = valid.shape[0]
  chunk = min(chunk, max(tokens, 1))
  count = jnp.sum(valid)
  # Valid tokens first: chunks of nothing but padding are not computed.
  order = jnp.argsort(~valid, stable=True)
  order = jnp.pad(order, (0, -tokens % chunk))

  def one_pass(heads, wanted):
    """The mean, and the gradients of the heads that are wanted."""

    def add(step, carry):
      picked = jax.lax.dynamic_slice_in_dim(order, step * chunk, chunk)
      inside = step * chunk + jnp.arange(chunk) < count
      part = _Chunk(picked, inside, 1 / count.astype(carry[0].dtype))
      return _add_chunk(loss, heads, targets, wanted, part, carry)

    steps = (count + chunk - 1) // chunk
    return jax.lax.fori_loop(0, steps, add, _zeros(heads, wanted))

  @jax.custom_vjp
  def mean(heads):
    return one_pass(heads, (False,) * len(heads))[0]

  def forward(heads):
    wanted = tuple(x.hidden.perturbed or x.head.perturbed for x in heads)
    values = tuple(Head(x.hidden.value, x.head.value) for x in heads)
    value, gradients = one_pass(values, wanted)
    return value, tuple(
      gradient
      and Head(
        *(g.astype(x.dtype) for g, x in zip(gradient, side, strict=True))
      )
      for gradient, side in zip(gradients, values, strict=True)
    )

  def backward(gradients, slope):
    def scaled(gradient):
      return (slope * gradient.astype(slope.dtype)).astype(gradient.dtype)

    return (jax.tree.map(scaled, gradients),)

  mean.defvjp(forward, backward, symbolic_zeros=True)
  return mean(heads)


class _Chunk(NamedTuple):
  """Which tokens are picked, which of them count, and how much each."""

  picked: jax.Array
  inside: jax.Array
  share: jax.Array


def _zeros(heads: tuple[Head, ...], wanted: tuple[bool, ...]) -> tuple:
  """A total and gradients of nothing, in which chunks add up."""
  dtype = jnp.result_type(
    *(numerics.at_least_float32(x.head[:0]) for x in heads)
  )
  gradients = tuple(
    Head(*(jnp.zeros(x.shape, dtype) for x in side)) if want else None
    for side, want in zip(heads, wanted, strict=True)
  )
  return jnp.zeros((), dtype), gradients


def _add_chunk(
  loss: TokenLoss,
  heads: tuple[Head, ...],
  targets: tuple[jax.Array, ...],
  wanted: tuple[bool, ...],
  part: _Chunk,
  carry: tuple[jax.Array, Any],
) -> tuple[jax.Array, Any]:
  """Adds the loss of one chunk, and its gradients, to what there is."""
  total, gradients = carry
  hidden = [
    jnp.where(part.inside[:, None], jnp.asarray(side.hidden)[part.picked], 0)
    for side in heads
  ]
  logits = [
    _product(x, side.head, total.dtype)
    for x, side in zip(hidden, heads, strict=True)
  ]
  given = [jnp.asarray(target)[part.picked] for target in targets]

  def mean(logits):
    losses = loss(*logits, *given)
    # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
    return part.share * jnp.sum(jnp.where(part.inside, losses, 0))

  if not any(wanted):
    return total + mean(logits), gradients
  value, slopes = jax.value_and_grad(mean)(logits)
  gradients = tuple(
    gradient and _add_gradient(gradient, side, x, slope, part)
    for gradient, side, x, slope in zip(
      gradients, heads, hidden, slopes, strict=True
    )
  )
  return total + value, gradients


def _add_gradient(
  gradient: Head, side: Head, hidden: jax.Array, slope: jax.Array, part: _Chunk
) -> Head:
  """Adds one chunk's gradient, given that of its logits."""
  dtype = gradient.head.dtype
  slope = slope.astype(hidden.dtype)
  # What is not inside goes past the end, where it is dropped.
  place = jnp.where(part.inside, part.picked, gradient.hidden.shape[0])
  return Head(
    gradient.hidden.at[place].set(
      _product(slope, side.head.T, dtype), mode='drop'
    ),
    gradient.head + _product(hidden.T, slope, dtype),
  )


def _product(x: jax.Array, y: jax.Array, dtype: Any) -> jax.Array:
  """A matrix product in the inputs' precision, accumulated in `dtype`."""
  return jnp.matmul(x, y, preferred_element_type=dtype)
