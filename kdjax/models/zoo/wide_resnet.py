"""Wide residual networks, whose batch norms precede their convolutions."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.zoo.layers import (
  ConvNorm,
  batch_norm,
  convolution,
  normalise,
)


class Block(nn.Module):
  """Residual block of two convolutions, without its first batch norm.

  Whoever holds the block applies that norm: the network before the first block
  of a stage, the stage before the others.

  Attributes:
    width: Number of output channels.
    stride: Stride of the first convolution and the shortcut.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  stride: int = 1
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: chex.Array, normalised: chex.Array, train: bool = False
  ) -> jax.Array:
    """Maps `[batch, h, w, c]` to `[batch, h / stride, w / stride, width]`.

    Args:
      x: The sum that the block before returned.
      normalised: The batch norm of `x`.
      train: Whether the batch's own statistics are used.
    """
    active = nn.relu(normalised)
    first = ConvNorm(
      self.width,
      stride=self.stride,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name='layer1',
    )
    y = nn.relu(first(active, train))
    y = convolution(self.width, dtype=self.dtype, name='layer2')(y)
    if x.shape != y.shape:
      # Only this shortcut reads the activated map.
      x = convolution(
        self.width,
        kernel=1,
        stride=self.stride,
        dtype=self.dtype,
        name='shortcut',
      )(active)
    return x + y


class Stem(nn.Module):
  """The first convolution and, as a method, the batch norm of its output.

  Attributes:
    width: Number of channels.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def setup(self) -> None:
    """Makes the layers that both methods read."""
    self.conv = convolution(self.width, dtype=self.dtype)
    self.norm = batch_norm(self.axis_name)

  def __call__(self, x: chex.Array) -> jax.Array:
    """Maps `[batch, h, w, channels]` to `[batch, h, w, width]`."""
    return self.conv(x)

  def normalise(self, x: chex.Array, train: bool) -> jax.Array:
    """Returns the batch norm of the output; sows it as `preactivation`."""
    x = normalise(self.norm, x, train)
    self.sow('intermediates', 'preactivation', x)
    return x


class Stage(nn.Module):
  """Residual blocks at one resolution and, as a method, their sum's batch norm.

  Attributes:
    width: Number of channels.
    blocks: Number of blocks.
    stride: Stride of the first block.
    dtype: Dtype of the computation; parameters and statistics are float32.
    axis_name: Mapped axis over which training statistics are averaged.
  """

  width: int
  blocks: int
  stride: int = 1
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def setup(self) -> None:
    """Makes the batch norm of `normalise`."""
    self.norm = batch_norm(self.axis_name)

  @nn.compact
  def __call__(
    self, x: chex.Array, normalised: chex.Array, train: bool = False
  ) -> jax.Array:
    """Maps `x` and its batch norm to the last block's sum, as `Block` does."""
    for i in range(1, self.blocks + 1):
      if i > 1:
        norm = batch_norm(self.axis_name, name=f'norm{i}')
        normalised = normalise(norm, x, train)
      block = Block(
        self.width,
        stride=self.stride if i == 1 else 1,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f'block{i}',
      )
      x = block(x, normalised, train)
    return x

  def normalise(self, x: chex.Array, train: bool) -> jax.Array:
    """Returns the batch norm of the sum; sows it as `preactivation`."""
    x = normalise(self.norm, x, train)
    self.sow('intermediates', 'preactivation', x)
    return x


class WideResNet(nn.Module):
  """Wide residual network for small images, of any size, without dropout.

  Its taps are `stem`, `stage1`, `stage2` and `stage3` `[batch, h, w, channels]`
  without an activation: the first convolution and the sums of the stages' last
  blocks. `stem/preactivation` and `stageN/preactivation` are their batch norms,
  the inputs of the next ReLU. These are the features and pre-activations of
  RepDistiller and mdistiller, except that their first pre-activation is the
  stem itself. `stageN/blockM` are the sums of the blocks, and `embedding`
  `[batch, channels]` is the mean over positions of the last ReLU.

  The batch norm after a stage is the module `stageN/norm`; in the paper's
  drawing it opens the next block.

  Attributes:
    depth: Number of layers, 6n + 4: 16 and 40 in tables of distillation.
    widen: Factor of the stages' 16, 32 and 64 channels.
    classes: Number of logits.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training, so that it sees the global batch.

  Raises:
    ValueError: if `depth` is not 6n + 4 with a positive n, or `widen` is not
      positive.

  References:
    Zagoruyko and Komodakis, `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_, 2016.
  """

  depth: int
  widen: int
  classes: int
  dtype: chex.ArrayDType = jnp.float32
  axis_name: str | None = None

  def __post_init__(self) -> None:
    if self.depth < 10 or self.depth % 6 != 4:
      raise ValueError(
        f'depth must be 6n + 4 with a positive n, got {self.depth}.'
      )
    if self.widen < 1:
      raise ValueError(f'widen must be positive, got {self.widen}.')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: chex.Array, train: bool = False) -> jax.Array:
    """Maps `[batch, h, w, channels]` to float32 logits `[batch, classes]`."""
    settings = {'dtype': self.dtype, 'axis_name': self.axis_name}
    stem = Stem(16, **settings, name='stem')
    x = stem(x)
    normalised = stem.normalise(x, train)
    for i, width in enumerate((16, 32, 64), start=1):
      stage = Stage(
        width * self.widen,
        blocks=(self.depth - 4) // 6,
        stride=1 if i == 1 else 2,
        **settings,
        name=f'stage{i}',
      )
      x = stage(x, normalised, train)
      normalised = stage.normalise(x, train)
    x = nn.relu(normalised).mean((1, 2))
    self.sow('intermediates', 'embedding', x)
    logits = nn.Dense(self.classes, dtype=self.dtype, name='head')(x)
    return logits.astype(jnp.float32)
