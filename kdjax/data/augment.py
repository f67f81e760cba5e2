"""Random views of images, inside XLA.

Every function takes one key per example, so that the augmented batch is the
same however it is divided among devices, and treats uint8 and float alike.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from kdjax.data import views


def example_keys(key: jax.Array, positions: jax.Array) -> jax.Array:
  """Derives one key per example.

  Args:
    key: One key, a new one for every epoch or step.
    positions: What tells the examples apart, integers `[batch]`: for instance
      their position in the global batch.

  Returns:
    Keys `[batch]`.
  """
  return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)


def identity(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Returns the images as they are.

  Args:
    keys: One key per example, `[batch]`; not used.
    images: `[batch, height, width, channels]`.

  Returns:
    `images`.
  """
  del keys
  return images


def flip(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors left and right with probability 1/2.

  Args:
    keys: One key per example, `[batch]`.
    images: `[batch, height, width, channels]`.

  Returns:
    Images of the same shape and dtype.

  Raises:
    ValueError: if `keys` or `images` has another shape.
  """
  return views.flip_views().augment(keys, images)


def pad_crop(keys: jax.Array, images: jax.Array, padding: int = 4) -> jax.Array:
  """Pads with zeros and cuts out a window of the original size.

  Args:
    keys: One key per example, `[batch]`.
    images: `[batch, height, width, channels]`.
    padding: Pixels added on every side, 0 or more. All `(2 * padding + 1)**2`
      windows are equally likely.

  Returns:
    Images of the same shape and dtype.

  Raises:
    ValueError: if `padding` is negative, or `keys` or `images` has another
      shape.

  References:
    He et al., `Deep Residual Learning <https://arxiv.org/abs/1512.03385>`_,
    2015, section 4.2.
  """
  return views.crop_views(padding).augment(keys, images)


def pad_crop_flip(
  keys: jax.Array, images: jax.Array, padding: int = 4
) -> jax.Array:
  """Applies `pad_crop`, then `flip`: the usual recipe for CIFAR.

  Args:
    keys: One key per example, `[batch]`.
    images: `[batch, height, width, channels]`.
    padding: Pixels added on every side, 0 or more.

  Returns:
    Images of the same shape and dtype.

  Raises:
    ValueError: as `pad_crop`.
  """
  return views.crop_flip_views(padding).augment(keys, images)


def shift(keys: jax.Array, images: jax.Array, pixels: int = 1) -> jax.Array:
  """Moves up to `pixels` along both axes; what is uncovered is zero.

  The same windows as `pad_crop`, under the name that suits small images whose
  background is zero.

  Args:
    keys: One key per example, `[batch]`.
    images: `[batch, height, width, channels]`.
    pixels: Largest distance, 0 or more. All `(2 * pixels + 1)**2` translations
      are equally likely.

  Returns:
    Images of the same shape and dtype.

  Raises:
    ValueError: if `pixels` is negative, or `keys` or `images` has another
      shape.
  """
  if pixels < 0:
    raise ValueError(f'pixels must be 0 or more, got {pixels}.')
  return pad_crop(keys, images, padding=pixels)


def normalise(
  images: jax.Array,
  mean: Sequence[float],
  std: Sequence[float],
  dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
  """Computes `(images - mean) / std` in float32.

  Args:
    images: `[..., channels]`, uint8 or float.
    mean: One number per channel, in units of the stored pixel: 0..255, not
      0..1, for photographs.
    std: Positive, likewise.
    dtype: Of the result.

  Returns:
    Images of the same shape.

  Raises:
    ValueError: if `mean` or `std` is not one number per channel.
  """
  channels = images.shape[-1]
  for name, values in (('mean', mean), ('std', std)):
    if len(values) != channels:
      raise ValueError(
        f'{name} must be {channels} numbers, one per channel, got {values}.'
      )
  shape = (1,) * (images.ndim - 1) + (channels,)
  centre = jnp.asarray(mean, jnp.float32).reshape(shape)
  scale = jnp.asarray(std, jnp.float32).reshape(shape)
  return ((images.astype(jnp.float32) - centre) / scale).astype(dtype)
