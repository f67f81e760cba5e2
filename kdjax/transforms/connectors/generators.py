"""Generators of the teacher's features from the student's masked ones."""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.transforms.connectors.layers import Convolution, Dense


class MaskedGenerator(nn.Module):
  """Aligns, masks and generates a map (MGD).

  A 1x1 convolution where the channels differ, then two 3x3 convolutions with
  bias and a ReLU between them.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 3))
  >>> kept = jnp.ones((2, 4, 4, 1), bool)
  >>> jax.eval_shape(MaskedGenerator(5).init_with_output, key, x, kept)[0].shape
  (2, 4, 4, 5)

  Attributes:
    channels: Of the teacher's map.

  References:
    Yang et al., `Masked Generative Distillation
    <https://arxiv.org/abs/2205.01529>`_, 2022, section 3.
  """

  channels: int

  @nn.compact
  def __call__(self, x: chex.Array, kept: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, channels]`.

    Args:
      x: The student's map.
      kept: Booleans that broadcast to the result, false for what is hidden.
    """
    if x.shape[-1] != self.channels:
      x = Convolution(self.channels, name='align')(x)
    x = jnp.where(kept, x, 0)
    return _generate(self.channels, x)


class TokenGenerator(nn.Module):
  """Aligns, hides and generates tokens (ViTKD's deep layer).

  A dense layer where the dimensions differ, a learnt token in place of hidden
  ones, then two 3x3 convolutions over the grid of tokens, with a ReLU between.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 3))
  >>> hidden = jnp.zeros((2, 4, 4), bool)
  >>> layer = TokenGenerator(5)
  >>> jax.eval_shape(layer.init_with_output, key, x, hidden)[0].shape
  (2, 4, 4, 5)

  Attributes:
    dim: Of the teacher's tokens.

  References:
    Yang et al., `ViTKD: Practical Guidelines for ViT Feature Knowledge
    Distillation <https://arxiv.org/abs/2209.02432>`_, 2022, section 3.
  """

  dim: int

  @nn.compact
  def __call__(self, x: chex.Array, hidden: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, d]` to `[batch, h, w, dim]`.

    Args:
      x: The student's tokens on their grid.
      hidden: Booleans, shape `[batch, h, w]`, true for hidden tokens.
    """
    if x.shape[-1] != self.dim:
      x = Dense(self.dim, name='align')(x)
    zeros = nn.initializers.zeros
    token = self.param('mask_token', zeros, (self.dim,), x.dtype)
    x = jnp.where(hidden[..., None], token.reshape(1, 1, 1, -1), x)
    return _generate(self.dim, x)


class TokenAlignment(nn.Module):
  """A dense layer for each of several tokens whose dimension differs.

  >>> tokens = [jnp.ones((2, 4, 3)), jnp.ones((2, 4, 5))]
  >>> align, key = TokenAlignment([5, 5]), jax.random.key(0)
  >>> aligned, _ = jax.eval_shape(align.init_with_output, key, tokens)
  >>> [x.shape for x in aligned]
  [(2, 4, 5), (2, 4, 5)]

  Attributes:
    dims: Of the teacher's tokens, one for each of the student's.
  """

  dims: Sequence[int]

  @nn.compact
  def __call__(self, tokens: Sequence[chex.Array]) -> list[jax.Array]:
    """Maps each `[..., student_dim]` to `[..., dim]`."""
    return [
      x if x.shape[-1] == dim else Dense(dim, name=f'align{i}')(x)
      for i, (x, dim) in enumerate(zip(tokens, self.dims, strict=True), 1)
    ]


def _generate(width: int, x: jax.Array) -> jax.Array:
  """Two 3x3 convolutions, in the module that calls."""
  x = nn.relu(Convolution(width, 3, name='generator1')(x))
  return Convolution(width, 3, name='generator2')(x)
