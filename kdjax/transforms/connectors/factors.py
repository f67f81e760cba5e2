"""Paraphraser and translator of factor transfer."""

import chex
import flax.linen as nn
import jax

from kdjax.transforms.connectors.layers import (
  BatchNorm,
  Convolution,
  TransposedConvolution,
)

_SLOPE = 0.1  # of the leaky ReLU after every layer


class Paraphraser(nn.Module):
  """Autoencoder of the teacher's map; what it encodes to is the factors.

  Three 3x3 convolutions and three transposed ones, each with bias and leaky
  ReLU (slope 0.1), without batch norm.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 6))
  >>> factors, x = jax.eval_shape(Paraphraser(6, 3).init_with_output, key, x)[0]
  >>> factors.shape, x.shape
  ((2, 4, 4, 3), (2, 4, 4, 6))

  Attributes:
    channels: Of the teacher's map.
    factors: Channels of the factors.

  References:
    Kim et al., `Paraphrasing Complex Network: Network Compression via Factor
    Transfer <https://arxiv.org/abs/1802.04977>`_, 2018, section 3.
  """

  channels: int
  factors: int

  @nn.compact
  def __call__(self, x: chex.Array) -> tuple[jax.Array, jax.Array]:
    """Maps `[batch, h, w, channels]` to the factors and the reconstruction."""
    for i, width in enumerate((self.channels, self.factors, self.factors), 1):
      x = Convolution(width, 3, name=f'encoder{i}')(x)
      x = nn.leaky_relu(x, _SLOPE)
    factors = x
    for i, width in enumerate((self.factors, self.channels, self.channels), 1):
      x = TransposedConvolution(width, 3, name=f'decoder{i}')(x)
      x = nn.leaky_relu(x, _SLOPE)
    return factors, x


class Translator(nn.Module):
  """Factors of the student's map: three 3x3 convolutions with batch norm.

  >>> key, x = jax.random.key(0), jnp.ones((2, 4, 4, 3))
  >>> jax.eval_shape(Translator(5).init_with_output, key, x)[0].shape
  (2, 4, 4, 5)

  Attributes:
    factors: Channels of the factors.
    axis_name: Mapped axis for the batch norm's statistics.

  References:
    Kim et al., `Paraphrasing Complex Network: Network Compression via Factor
    Transfer <https://arxiv.org/abs/1802.04977>`_, 2018, section 3.
  """

  factors: int
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, mask: chex.Array | None = None
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h, w, factors]`."""
    for i, width in enumerate((x.shape[-1], self.factors, self.factors), 1):
      x = Convolution(width, 3, name=f'encoder{i}')(x)
      x = BatchNorm(self.axis_name, name=f'norm{i}')(x, mask)
      x = nn.leaky_relu(x, _SLOPE)
    return x
