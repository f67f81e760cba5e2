"""Losses between linear heads, a chunk of tokens at a time.

The logits of all tokens are never held: `tokens x vocabulary` numbers are the
largest thing in a language model. Value and gradients are computed in one pass,
so that nothing is computed twice; the price is that the result is a mean, not
one loss per token.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics, placement

# (logits of each head, given tokens, given numbers) -> [tokens].
TokenLoss = Callable[[list[jax.Array], dict, dict], jax.Array]


class Head(NamedTuple):
  """A head that makes logits of hidden states: `hidden @ kernel + bias`.

  Attributes:
    kernel: Shape `[dim, vocabulary]`.
    bias: Shape `[vocabulary]`, or None.
  """

  kernel: jax.Array
  bias: jax.Array | None = None


class Tokens(NamedTuple):
  """Arrays whose first axis is the tokens.

  Attributes:
    hidden: Hidden states of each network, `[tokens, dim]`.
    given: What the loss reads besides, by name.
  """

  hidden: list[jax.Array]
  given: dict[str, jax.Array]


class Shared(NamedTuple):
  """Arrays that all tokens share.

  Attributes:
    heads: One for each network.
    given: Scalars that the loss reads, by name.
  """

  heads: list[Head]
  given: dict[str, jax.Array]


def mean_loss(
  loss: TokenLoss,
  tokens: Tokens,
  shared: Shared,
  *,
  mask: chex.Array | None,
  chunk: int,
) -> jax.Array:
  """Mean over the valid tokens of a loss of the heads' logits.

  Gradients flow to all arrays; those that nobody asks for are not computed.

  Args:
    loss: `(logits, given tokens, given scalars) -> [tokens]`; must not close
      over traced arrays, which `jax.checkpoint` and `jax.lax.scan` forbid.
    tokens: What each token has of its own.
    shared: What they share.
    mask: Shape `[tokens]`, zero for padding, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    A scalar, float32 at least; 0 if no token is valid.
  """
  count = tokens.hidden[0].shape[0]
  if not count:
    return jnp.zeros((), _dtype(shared))
  # Devices that share the tokens hold whole groups of them.
  groups = math.gcd(count, placement.mesh_size((tokens, shared)))
  shape = _shape(count, groups, chunk)
  tokens, shared, mask = placement.varying_like((tokens, shared, mask))
  order = None if mask is None else _valid_first(mask, shape)
  return _mean(loss, shape, tokens, shared, order)


class _Shape(NamedTuple):
  """`groups` of `size` tokens, in `steps` chunks of `width` of each group.

  A chunk takes its tokens from every group, so that it is computed where they
  lie.
  """

  groups: int
  size: int
  steps: int
  width: int


class _Order(NamedTuple):
  """Places within each group, valid tokens first; and which are valid."""

  places: jax.Array
  valid: jax.Array


def _shape(count: int, groups: int, chunk: int) -> _Shape:
  size = count // groups
  width = min(max(chunk // groups, 1), size)
  steps = -(-size // width)
  # Chunks have equal widths: a short last one would be mostly padding.
  return _Shape(groups, size, steps, -(-size // steps))


def _valid_first(mask: chex.Array, shape: _Shape) -> _Order:
  valid = jnp.asarray(mask).astype(bool).reshape(shape.groups, shape.size)
  places = jnp.argsort(~valid, axis=1, stable=True)
  return _Order(places, jnp.take_along_axis(valid, places, axis=1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _mean(loss, shape, tokens, shared, order):
  wanted = jax.tree.map(lambda _: False, (tokens, shared))
  return _pass(loss, shape, tokens, shared, order, wanted)[0]


def _forward(loss, shape, *primals):
  def is_primal(x):
    return hasattr(x, 'perturbed')

  def is_wanted(x):
    return bool(x.perturbed) and jnp.issubdtype(x.value.dtype, jnp.inexact)

  wanted = jax.tree.map(is_wanted, primals[:2], is_leaf=is_primal)
  tokens, shared, order = jax.tree.map(
    lambda x: x.value, primals, is_leaf=is_primal
  )
  return _pass(loss, shape, tokens, shared, order, wanted)


def _backward(loss, shape, gradients, slope):
  del loss, shape

  def scaled(gradient):
    return (slope * gradient.astype(slope.dtype)).astype(gradient.dtype)

  return (*jax.tree.map(scaled, gradients), None)


_mean.defvjp(_forward, _backward, symbolic_zeros=True)


def _pass(loss, shape: _Shape, tokens, shared, order, wanted):
  """The mean, and gradients of what is wanted; None of the rest."""
  dtype = _dtype(shared)
  inside = _inside(shape, order)
  count = jnp.maximum(jnp.sum(inside), 1).astype(dtype)
  chunks = jax.tree.map(lambda x: _in_chunks(x, shape, order), tokens)

  # Recomputed where somebody derives the gradient again: the logits of all
  # chunks would not fit.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def add(carry, chunk):
    own, real = chunk
    value, by_tokens, by_shared = _chunk(
      loss, own, real, shared, 1 / count, wanted, dtype
    )
    return jax.tree.map(jnp.add, carry, (value, by_shared)), by_tokens

  def step(carry, chunk):
    if order is None:
      return add(carry, chunk)

    def skip(carry, chunk):
      _, slopes = jax.eval_shape(add, carry, chunk)
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), slopes)
      return carry, placement.varying_like(zeros, carry, chunk)

    # A chunk of nothing but padding is not computed.
    return jax.lax.cond(jnp.any(chunk[1]), add, skip, carry, chunk)

  start = jax.tree.map(
    lambda x, want: jnp.zeros(x.shape, dtype) if want else None,
    shared,
    wanted[1],
  )
  start = placement.varying_like(
    (jnp.zeros((), dtype), start), tokens, shared, order
  )
  (total, by_shared), by_tokens = jax.lax.scan(step, start, (chunks, inside))
  by_tokens = jax.tree.map(lambda x: _from_chunks(x, shape, order), by_tokens)
  gradients = jax.tree.map(
    lambda x, gradient: None if gradient is None else gradient.astype(x.dtype),
    (tokens, shared),
    (by_tokens, by_shared),
  )
  return total, gradients


def _dtype(shared: Shared) -> Any:
  return jnp.result_type(
    *(numerics.at_least_float32(x.kernel[:0]) for x in shared.heads)
  )


def _inside(shape: _Shape, order: _Order | None) -> jax.Array:
  """Which places of each chunk are valid tokens, `[steps, places]`."""
  if order is None:
    valid = jnp.ones((shape.groups * shape.size,), bool)
    return _in_chunks(valid, shape, None)
  return _in_chunks(order.valid.reshape(-1), shape, None)


def _in_chunks(x: chex.Array, shape: _Shape, order: _Order | None) -> jax.Array:
  """`[tokens, ...]` as `[steps, groups * width, ...]`, filled up with zeros."""
  rest = x.shape[1:]
  x = jnp.reshape(x, (shape.groups, shape.size, *rest))
  if order is not None:
    x = jnp.take_along_axis(x, _beside(order.places, x), axis=1)
  more = shape.steps * shape.width - shape.size
  x = jnp.pad(x, ((0, 0), (0, more), *((0, 0),) * len(rest)))
  x = x.reshape(shape.groups, shape.steps, shape.width, *rest)
  x = jnp.moveaxis(x, 1, 0)
  return x.reshape(shape.steps, shape.groups * shape.width, *rest)


def _from_chunks(
  x: chex.Array, shape: _Shape, order: _Order | None
) -> jax.Array:
  """The inverse of `_in_chunks`."""
  rest = x.shape[2:]
  x = x.reshape(shape.steps, shape.groups, shape.width, *rest)
  x = jnp.moveaxis(x, 0, 1).reshape(shape.groups, -1, *rest)[:, : shape.size]
  if order is not None:
    places = jnp.argsort(order.places, axis=1)
    x = jnp.take_along_axis(x, _beside(places, x), axis=1)
  return x.reshape(shape.groups * shape.size, *rest)


def _beside(places: chex.Array, x: chex.Array) -> jax.Array:
  """Indices with as many axes as `x`."""
  return places.reshape(*places.shape, *(1,) * (x.ndim - 2))


def _chunk(loss, tokens, inside, shared, share, wanted, dtype):
  """A chunk's part of the mean, and of the gradients that are wanted."""
  # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
  tokens = jax.tree.map(
    lambda x: jnp.where(inside.reshape(-1, *(1,) * (x.ndim - 1)), x, 0), tokens
  )
  logits = [
    _logits(hidden, head, dtype)
    for hidden, head in zip(tokens.hidden, shared.heads, strict=True)
  ]
  want_tokens, want_shared = wanted
  of_head = [
    any(jax.tree.leaves(both))
    for both in zip(want_tokens.hidden, want_shared.heads, strict=True)
  ]
  read = (logits, tokens.given, shared.given)
  want_read = (of_head, want_tokens.given, want_shared.given)
  moving = jax.tree.map(lambda x, want: x if want else None, read, want_read)

  def mean(moving):
    now = jax.tree.map(lambda x, y: x if y is None else y, read, moving)
    return share * jnp.sum(jnp.where(inside, loss(*now), 0))

  value, (slopes, by_tokens, by_shared) = jax.value_and_grad(mean)(moving)
  by_hidden: list[Any] = []
  by_heads: list[Head] = []
  for i, slope in enumerate(slopes):
    hidden, head = tokens.hidden[i], shared.heads[i]
    by_hidden.append(
      _product(slope.astype(hidden.dtype), head.kernel.T, dtype)
      if want_tokens.hidden[i]
      else None
    )
    by_heads.append(_by_head(slope, hidden, want_shared.heads[i], dtype))
  by_shared = jax.tree.map(lambda x: x.astype(dtype), by_shared)
  return value, Tokens(by_hidden, by_tokens), Shared(by_heads, by_shared)


def _logits(hidden: chex.Array, head: Head, dtype: Any) -> jax.Array:
  logits = _product(hidden, head.kernel, dtype)
  return logits if head.bias is None else logits + head.bias.astype(dtype)[None]


def _by_head(slope, hidden, want: Head, dtype: Any) -> Head:
  """Gradient of a head, given that of its logits."""
  kernel: Any = None
  bias: Any = None
  if want.kernel:
    kernel = _product(hidden.T, slope.astype(hidden.dtype), dtype)
  if want.bias:
    bias = jnp.sum(slope, axis=0)
  return Head(kernel, bias)


def _product(x: jax.Array, y: jax.Array, dtype: Any) -> jax.Array:
  """A matrix product in the inputs' precision, accumulated in `dtype`."""
  return jnp.matmul(x, y, preferred_element_type=dtype)
