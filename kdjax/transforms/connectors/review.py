"""Knowledge review: deep stages are fused into shallow ones (ABF)."""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.transforms.connectors.layers import BatchNorm, Convolution

# He's uniform start for a linear layer.
_KERNEL_INIT = nn.initializers.variance_scaling(1.0, 'fan_in', 'uniform')


class AttentionFusion(nn.Module):
  """Fuses one stage with what came of the deeper ones (ABF).

  >>> key, x = jax.random.key(0), jnp.ones((2, 8, 8, 3))
  >>> fusion, deeper = AttentionFusion(6, (4, 4, 5)), jnp.ones((2, 4, 4, 6))
  >>> output, fused = jax.eval_shape(fusion.init_with_output, key, x, deeper)[0]
  >>> output.shape, fused.shape
  ((2, 4, 4, 5), (2, 4, 4, 6))

  Attributes:
    width: Channels of the fused features.
    shape: Height, width and channels of the teacher's map.
    axis_name: Mapped axis for the batch norms' statistics.
  """

  width: int
  shape: tuple[int, int, int]
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    x: chex.Array,
    deeper: chex.Array | None,
    mask: chex.Array | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """Fuses a stage with the deeper ones.

    Args:
      x: The stage, shape `[batch, h, w, c]`.
      deeper: Fused features of the stage before it in the chain, shape
        `[batch, h', w', width]`; None for the deepest.
      mask: Shape `[batch]`, zero for padding, or None.

    Returns:
      Features to compare with the teacher's, `[batch, *shape]`, and the fused
      features to pass on, `[batch, *shape[:2], width]`.
    """
    x = self._convolve(x, self.width, 1, 'input', mask)
    if deeper is not None:
      deeper = resize_nearest(deeper, x.shape[1:3])
      both = jnp.concatenate([x, deeper], axis=-1)
      gates = nn.sigmoid(Convolution(2, name='attention')(both))
      x = x * gates[..., :1] + deeper * gates[..., 1:]
    x = resize_nearest(x, self.shape[:2])
    return self._convolve(x, self.shape[-1], 3, 'output', mask), x

  def _convolve(self, x, width, kernel, name, mask) -> jax.Array:
    """A convolution without bias, then batch norm."""
    layer = Convolution(
      width, kernel, bias=False, kernel_init=_KERNEL_INIT, name=name
    )
    return BatchNorm(self.axis_name, name=f'{name}_norm')(layer(x), mask)


class ReviewFusion(nn.Module):
  """The chain of `AttentionFusion`s from the deepest stage to the first.

  >>> stages = [jnp.ones((2, 8, 8, 3)), jnp.ones((2, 4, 4, 6))]
  >>> shapes, key = [(8, 8, 5), (2, 2, 7)], jax.random.key(0)
  >>> fusion = ReviewFusion(shapes, width=6)
  >>> outputs, _ = jax.eval_shape(fusion.init_with_output, key, stages)
  >>> [x.shape for x in outputs]
  [(2, 8, 8, 5), (2, 2, 2, 7)]

  Attributes:
    shapes: Height, width and channels of each of the teacher's maps, shallow
      first.
    width: Channels of the fused features.
    axis_name: Mapped axis for the batch norms' statistics.

  References:
    Chen et al., `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_, 2021, section 3, and its code.
  """

  shapes: Sequence[tuple[int, int, int]]
  width: int
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, stages: Sequence[chex.Array], mask: chex.Array | None = None
  ) -> list[jax.Array]:
    """Maps the student's maps, shallow first, to the teacher's shapes."""
    outputs, fused = [], None
    for i in reversed(range(len(self.shapes))):
      fusion = AttentionFusion(
        self.width, self.shapes[i], self.axis_name, name=f'fusion{i + 1}'
      )
      output, fused = fusion(stages[i], fused, mask)
      outputs.append(output)
    return outputs[::-1]


def resize_nearest(maps: chex.Array, size: tuple[int, int]) -> jax.Array:
  """Entry `i` of `n` along an axis of length `m` is entry `floor(i m / n)`.

  PyTorch's rule; `jax.image.resize` takes the nearest centre, which differs
  where neither length divides the other, and in shrinking.

  Args:
    maps: Shape `[batch, height, width, channels]`.
    size: Height and width of the result.
  """
  for axis, count in enumerate(size, start=1):
    length = maps.shape[axis]
    if length != count:
      indices = jnp.array([i * length // count for i in range(count)])
      maps = jnp.take(maps, indices, axis=axis)
  return maps
