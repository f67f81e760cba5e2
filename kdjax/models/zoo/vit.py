"""Vision transformers, with a distillation token too."""

import math

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.transformer import Layer, Norm, matrix_product


class Patches(nn.Module):
  """A convolution over patches that do not overlap, as a matrix product.

  Attributes:
    width: Number of output channels.
    patch: Side of a patch in pixels.
    dtype: Dtype of the computation; parameters are float32.
  """

  width: int
  patch: int
  dtype: chex.ArrayDType = jnp.float32

  @nn.compact
  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, channels]` to `[batch, rows, columns, width]`."""
    batch, height, width, channels = x.shape
    side = self.patch
    shape = side, side, channels, self.width
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    bias = self.param('bias', nn.initializers.zeros, (self.width,))
    rows, columns = height // side, width // side
    x = x.astype(self.dtype).reshape(batch, rows, side, columns, side, channels)
    x = x.swapaxes(2, 3).reshape(batch, rows, columns, -1)
    kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)
    return matrix_product(x, kernel.reshape(-1, self.width)) + bias.reshape(
      1, 1, 1, -1
    )


class ViT(nn.Module):
  """Vision transformer; its parameters fix the image size.

  N goes from 1 to `depth`, and T is the number of patches. The taps are
  `blockN` `[batch, T, width]`, the N-th layer's output for the patches, row by
  row, without the class token; `blockN/query`, `blockN/key` and `blockN/value`
  `[batch, 1 + T, width]`, class token first, the heads' channels one after the
  other; `blockN/scores` `[batch, heads, 1 + T, 1 + T]`, attention before its
  softmax, float32; `stage1`, `stage2` and `stage3` `[batch, rows, columns,
  width]`, the patches as maps after layers `ceil(depth / 3)`,
  `ceil(2 depth / 3)` and `depth`; and `embedding` `[batch, width]`, the class
  token after the last norm. Layers are modules named `layerN`. Blocks and
  stages are sums without an activation, so there is no preactivation.

  With a distillation token (DeiT) there is one token more, after the class
  token, and a head of its own. The outputs then are also `class_logits` and
  `distillation_logits`, the answers of the two heads, and `logits` is their
  mean, in training too. So a loss of the labels alone trains both heads, and
  the method `deit` reads the answer of each.

  The last layer's output for the patches, `stage3`, does not reach the logits
  and is computed only if it is read. So modules of that layer have two outputs,
  for the class token (and the distillation token) and for the patches:
  `layerN/hidden/0` and `layerN/hidden/1`, `layerN/dropout/0..2` and `/3..5`.
  The output of `norm` is only for the former.

  GELU is exact, as in the paper and PyTorch; the authors' code approximates it.

  Attributes:
    depth: Number of layers.
    width: Number of channels of a token.
    heads: Number of attention heads; divides `width`.
    classes: Number of logits.
    patch: Side of a patch in pixels; divides height and width of the images.
      None takes the smallest patch that leaves at most 8 patches along the
      images' shorter side, or at most 4 if this side has fewer than 16 pixels:
      4 for 32x32 images, 2 for 8x8.
    mlp_ratio: Number of hidden units of a layer's perceptron per channel.
    dropout: Share of values that training drops, drawn from the `'dropout'`
      stream: after the embedding of patches and after every dense layer except
      query, key and value (appendix B.1).
    distillation_token: Whether there is a distillation token.
    dtype: Dtype of the computation; parameters and logits are float32.

  Raises:
    ValueError: if `depth` or `patch` is not positive, `heads` does not divide
      `width`, `dropout` is not in [0, 1) or, when called, `patch` does not
      divide the images.

  References:
    Dosovitskiy et al., `An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale <https://arxiv.org/abs/2010.11929>`_, 2021, section
    3.1.

    Touvron et al., `Training data-efficient image transformers & distillation
    through attention <https://arxiv.org/abs/2012.12877>`_, 2021, section 4.
  """

  depth: int
  width: int
  heads: int
  classes: int
  patch: int | None = None
  mlp_ratio: int = 4
  dropout: float = 0.0
  distillation_token: bool = False
  dtype: chex.ArrayDType = jnp.float32

  def __post_init__(self) -> None:
    if self.depth < 1:
      raise ValueError(f'depth must be positive, got {self.depth}.')
    if self.heads < 1 or self.width < 1 or self.width % self.heads:
      raise ValueError(
        f'heads must divide width, {self.width}, got {self.heads}.'
      )
    if self.patch is not None and self.patch < 1:
      raise ValueError(f'patch must be positive or None, got {self.patch}.')
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f'dropout must be in [0, 1), got {self.dropout}.')
    super().__post_init__()

  @nn.compact
  def __call__(
    self, x: chex.Array, train: bool = False
  ) -> jax.Array | dict[str, jax.Array]:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`.

    With a distillation token the logits are in a dict, see above.
    """
    x = self._embed(x)
    shape = x.shape
    x = self._add_tokens_and_positions(x.reshape(shape[0], -1, self.width))
    extra = x.shape[1] - shape[1] * shape[2]
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(x)
    ends = [-(-n * self.depth // 3) for n in (1, 2, 3)]
    for i in range(1, self.depth + 1):
      layer = Layer(
        self.heads, self.mlp_ratio, self.dropout, self.dtype, name=f'layer{i}'
      )
      # The patches do not reach the logits. They are a separate part of the
      # last layer, which the compiler drops if no tap of it is read.
      parts, inner = layer(x, train, [extra] if i == self.depth else [])
      x = parts[0]
      patches = parts[-1] if i == self.depth else x[:, extra:]
      self.sow('intermediates', f'block{i}', patches)
      for name, value in inner.items():
        self.sow('intermediates', f'block{i}/{name}', value)
      for stage, end in enumerate(ends, start=1):
        if i == end:
          self.sow('intermediates', f'stage{stage}', patches.reshape(shape))
    return self._answer(Norm(self.dtype, name='norm')(x))

  def _answer(self, x: chex.Array) -> jax.Array | dict[str, jax.Array]:
    """Maps the class token, and the distillation token, to logits."""
    self.sow('intermediates', 'embedding', x[:, 0])
    head = nn.Dense(self.classes, dtype=self.dtype, name='head')
    logits = head(x[:, 0]).astype(jnp.float32)
    if not self.distillation_token:
      return logits
    head = nn.Dense(self.classes, dtype=self.dtype, name='distillation_head')
    distilled = head(x[:, 1]).astype(jnp.float32)
    return {
      'logits': (logits + distilled) / 2,
      'class_logits': logits,
      'distillation_logits': distilled,
    }

  def _embed(self, x: chex.Array) -> jax.Array:
    """Maps images to patches, `[batch, rows, columns, width]`."""
    height, width = x.shape[1:3]
    patch = _automatic_patch(height, width) if not self.patch else self.patch
    if height % patch or width % patch:
      raise ValueError(
        f'patch must divide the image, {height}x{width}, got {patch}.'
      )
    return Patches(self.width, patch, self.dtype, name='patches')(x)

  def _add_tokens_and_positions(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, T, width]` to `[batch, 1 + T, width]`, or to 2 + T."""
    batch, _, width = x.shape
    names = ['class_token', 'distillation_token'][: 1 + self.distillation_token]
    tokens = [self._token(name, batch) for name in names]
    x = jnp.concatenate([*tokens, x], 1)
    positions = self.param(
      'positions', nn.initializers.normal(0.02), (1, x.shape[1], width)
    )
    return x + positions.astype(self.dtype)

  def _token(self, name: str, batch: int) -> jax.Array:
    """A parameter as a token of every example, `[batch, 1, width]`."""
    token = self.param(name, nn.initializers.zeros, (1, 1, self.width))
    return jnp.broadcast_to(token.astype(self.dtype), (batch, 1, self.width))


def _automatic_patch(height: int, width: int) -> int:
  size = min(height, width)
  common = math.gcd(height, width)
  least = size / (4 if size < 16 else 8)
  # An elongated image may have no common divisor that large.
  return next(
    (p for p in range(1, common) if p >= least and not common % p), common
  )
