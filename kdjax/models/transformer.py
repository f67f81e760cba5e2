"""The layers of transformers."""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


class Norm(nn.Module):
  """Layer normalisation over channels, worked out in float32.

  Attributes:
    dtype: Of the result; parameters are float32.
  """

  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[..., channels]` to the same shape."""
    # Under strict promotion Linen's statistics, float32, must meet float32.
    x = nn.LayerNorm(epsilon=1e-6, name='norm')(x.astype(jnp.float32))
    return x.astype(self.dtype)


class Attention(nn.Module):
  """Multi-head self-attention.

  Scores are accumulated and their softmax is taken in float32.

  Attributes:
    heads: Number of heads; divides the number of channels.
    dtype: Of the computation; parameters are float32.
  """

  heads: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Maps `[batch, tokens, width]` to the same shape.

    Returns:
      The result, and by name what led to it: `query`, `key` and `value`, each
      `[batch, tokens, width]` with the channels of the heads one after the
      other, and `scores` `[batch, heads, tokens, tokens]`, queries before keys,
      divided by the root of a head's channels and not yet normalised.
    """
    width = x.shape[-1]
    inner = {
      name: _dense(width, self.dtype, name)(x)
      for name in ('query', 'key', 'value')
    }
    query, key, value = (
      a.reshape(*a.shape[:-1], self.heads, width // self.heads).swapaxes(1, 2)
      for a in inner.values()
    )
    scores = jnp.einsum(
      'bhqd,bhkd->bhqk', query, key, preferred_element_type=jnp.float32
    ) / math.sqrt(width // self.heads)
    weights = nn.softmax(scores).astype(self.dtype)
    mixed = jnp.einsum('bhqk,bhkd->bhqd', weights, value)
    mixed = mixed.swapaxes(1, 2).reshape(x.shape)
    return _dense(width, self.dtype, 'out')(mixed), {**inner, 'scores': scores}


class Layer(nn.Module):
  """Attention and a multilayer perceptron, each normalised before and added.

  Attributes:
    heads: Number of attention heads.
    mlp_ratio: Hidden units of the perceptron per channel.
    dropout: Share of values dropped when training, see `ViT`.
    dtype: Of the computation; parameters are float32.
  """

  heads: int
  mlp_ratio: int = 4
  dropout: float = 0.0
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(
    self, x: chex.Array, train: bool = False
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Maps `[batch, tokens, width]` to the same shape, see `Attention`."""
    width = x.shape[-1]
    drop = nn.Dropout(self.dropout, deterministic=not train, name='dropout')
    attention = Attention(self.heads, self.dtype, name='attention')
    y, inner = attention(Norm(self.dtype, name='norm1')(x))
    x = x + drop(y)
    y = Norm(self.dtype, name='norm2')(x)
    y = _dense(self.mlp_ratio * width, self.dtype, 'hidden')(y)
    y = drop(gelu(y))
    return x + drop(_dense(width, self.dtype, 'out')(y)), inner


def gelu(x: chex.Array) -> jax.Array:
  """The exact GELU, `x Phi(x)`, by the error function, in float32.

  `jax.nn.gelu(x, approximate=False)` takes `erfc`, for the sake of far negative
  values whose result is below `1e-6`; on CPU it is three times slower.

  References:
    Hendrycks and Gimpel, `Gaussian Error Linear Units
    <https://arxiv.org/abs/1606.08415>`_, 2016, section 2.
  """
  wide = x.astype(jnp.float32)
  return (0.5 * wide * (1 + jax.lax.erf(wide / math.sqrt(2)))).astype(x.dtype)


def _dense(width: int, dtype: chex.ArrayDType, name: str) -> nn.Dense:
  return nn.Dense(
    width,
    dtype=dtype,
    # Drawn as in the authors' code.
    kernel_init=nn.initializers.xavier_uniform(),
    dot_general=_matrix_product,
    name=name,
  )


def _matrix_product(x: jax.Array, kernel: jax.Array, *_: Any, **kw: Any):
  """`x @ kernel` of two matrices: on CPU faster than with further axes."""
  y = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel, **kw)
  return y.reshape(*x.shape[:-1], kernel.shape[-1])
