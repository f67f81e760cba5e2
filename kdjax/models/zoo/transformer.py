"""Layers of transformers."""

import math
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


class Norm(nn.Module):
  """Layer normalisation over channels, computed in float32.

  Attributes:
    dtype: Dtype of the result; parameters are float32.
  """

  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[..., channels]` to the same shape."""
    # Linen's statistics are float32; strict promotion requires a float32 input.
    x = nn.LayerNorm(epsilon=1e-6, name='norm')(x.astype(jnp.float32))
    return x.astype(self.dtype)


class Attention(nn.Module):
  """Multi-head self-attention.

  Scores are accumulated and their softmax is taken in float32.

  Attributes:
    heads: Number of heads; divides the number of channels.
    dtype: Dtype of the computation; parameters are float32.
  """

  heads: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(
    self, x: chex.Array, cuts: Sequence[int] = ()
  ) -> tuple[list[jax.Array], dict[str, jax.Array]]:
    """Maps `[batch, tokens, width]` to the same shape, in parts.

    Args:
      x: The tokens.
      cuts: Positions of tokens that begin a new part, see `Layer`.

    Returns:
      The parts of the result, and intermediate values by name: `query`, `key`
      and `value`, each `[batch, tokens, width]` with the channels of the heads
      one after the other, and `scores` `[batch, heads, tokens, tokens]`, with
      the axis of queries before the axis of keys. The scores are divided by the
      root of the number of channels per head, and not yet normalised.
    """
    width = x.shape[-1]
    dense = {
      name: _dense(width, self.dtype, name)
      for name in ('query', 'key', 'value', 'out')
    }
    inner = {name: dense[name](x) for name in ('key', 'value')}
    key, value = (_by_head(a, self.heads) for a in inner.values())
    queries, scores, parts = [], [], []
    for part in jnp.split(x, cuts, axis=1):
      query = dense['query'](part)
      score = jnp.einsum(
        'bhqd,bhkd->bhqk',
        _by_head(query, self.heads),
        key,
        preferred_element_type=jnp.float32,
      ) / math.sqrt(width // self.heads)
      weights = nn.softmax(score).astype(self.dtype)
      mixed = jnp.einsum('bhqk,bhkd->bhqd', weights, value)
      mixed = mixed.swapaxes(1, 2).reshape(part.shape)
      queries.append(query)
      scores.append(score)
      parts.append(dense['out'](mixed))
    inner['query'] = jnp.concatenate(queries, axis=1)
    inner['scores'] = jnp.concatenate(scores, axis=2)
    return parts, inner


class Layer(nn.Module):
  """Attention and a multilayer perceptron, each with a norm and a shortcut.

  Attributes:
    heads: Number of attention heads.
    mlp_ratio: Number of hidden units of the perceptron per channel.
    dropout: Share of values that training drops, see `ViT`.
    dtype: Dtype of the computation; parameters are float32.
  """

  heads: int
  mlp_ratio: int = 4
  dropout: float = 0.0
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(
    self, x: chex.Array, train: bool = False, cuts: Sequence[int] = ()
  ) -> tuple[list[jax.Array], dict[str, jax.Array]]:
    """Maps `[batch, tokens, width]` to the same shape, in parts.

    Args:
      x: The tokens.
      train: Whether to drop values.
      cuts: Positions of tokens that begin a new part. Each token attends to all
        tokens, but the parts are separate computations from their queries on.
        The compiler leaves out an unused part and its gradient.

    Returns:
      The parts, and the intermediate values of `Attention`.
    """
    width = x.shape[-1]
    drop = nn.Dropout(self.dropout, deterministic=not train, name='dropout')
    attention = Attention(self.heads, self.dtype, name='attention')
    norm = Norm(self.dtype, name='norm2')
    hidden = _dense(self.mlp_ratio * width, self.dtype, 'hidden')
    out = _dense(width, self.dtype, 'out')
    attended, inner = attention(Norm(self.dtype, name='norm1')(x), cuts)
    parts = []
    for part, y in zip(jnp.split(x, cuts, axis=1), attended, strict=True):
      part = part + drop(y)
      y = drop(gelu(hidden(norm(part))))
      parts.append(part + drop(out(y)))
    return parts, inner


def gelu(x: chex.Array) -> jax.Array:
  """Computes the exact GELU, `x Phi(x)`, with the error function in float32.

  `jax.nn.gelu(x, approximate=False)` uses `erfc`, which is more exact for far
  negative values whose result is below `1e-6`; on CPU it is three times slower.

  References:
    Hendrycks and Gimpel, `Gaussian Error Linear Units
    <https://arxiv.org/abs/1606.08415>`_, 2016, section 2.
  """
  wide = x.astype(jnp.float32)
  return (0.5 * wide * (1 + jax.lax.erf(wide / math.sqrt(2)))).astype(x.dtype)


def _by_head(x: chex.Array, heads: int) -> jax.Array:
  """Maps `[batch, tokens, width]` to `[batch, heads, tokens, channels]`."""
  return x.reshape(*x.shape[:-1], heads, -1).swapaxes(1, 2)


def _dense(width: int, dtype: chex.ArrayDType, name: str) -> nn.Dense:
  return nn.Dense(
    width,
    dtype=dtype,
    # The authors' code has the same initialiser.
    kernel_init=nn.initializers.xavier_uniform(),
    dot_general=matrix_product,
    name=name,
  )


def matrix_product(
  x: chex.Array, kernel: chex.Array, *_: Any, **kwargs: Any
) -> jax.Array:
  """Computes `x @ kernel` as a product of two matrices.

  On CPU this is faster than a product over more axes. The function replaces
  `jax.lax.dot_general` in `nn.Dense`.

  Args:
    x: Inputs, shape `[..., in]`.
    kernel: Kernel, shape `[in, out]`.
    *_: Dimension numbers, which are the same for every dense layer.
    **kwargs: Keyword arguments of `jnp.matmul`.

  Returns:
    The product, shape `[..., out]`.
  """
  y = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel, **kwargs)
  return y.reshape(*x.shape[:-1], kernel.shape[-1])
