"""Augmentations drawn from continuous ranges, as numbered views.

An example's `index` and the number of its view are the key of the draw. So a
view shows the same whenever it is rendered, and a teacher's outputs for it can
be kept.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from kdjax.data.resampling import Span, real_size, resample
from kdjax.data.views import Views

_CROP_KEY, _JITTER_KEY = 0, 1  # Draws of different kinds are independent.
_TRIES = 10
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as in Pillow.


def random_resized_crop_views(
  size: int,
  *,
  views: int = 1000,
  scale: tuple[float, float] = (0.08, 1.0),
  ratio: tuple[float, float] = (3 / 4, 4 / 3),
  flip: bool = True,
) -> Views:
  """Returns random windows, resized to `size x size`, half of them mirrored.

  The window's share of the area is uniform within `scale`, the logarithm of its
  width over its height within that of `ratio`. If none of ten windows fits into
  the image, the central window of the nearest ratio is taken. The resizing is
  bilinear and antialiased, see `data.resampling`, and rounded to the dtype of
  the images.

  Images may have one size, or be canvases with their `size`; the views have one
  size and no `size` entry.

  >>> batch = {'image': jnp.ones((1, 40, 50, 3)), 'index': jnp.array([7])}
  >>> views = random_resized_crop_views(16)
  >>> views.render(jnp.array([999]), batch)['image'].shape
  (1, 16, 16, 3)

  Args:
    size: Side of the views.
    views: Number of views of an example. Each is drawn for the example.
    scale: Least and largest share of the area, above 0 and at most 1.
    ratio: Least and largest width over height, positive.
    flip: Whether half of the views are mirrored.

  Raises:
    ValueError: if an argument is out of range; when rendered, if the batch has
      no `index`.

  References:
    Szegedy et al., `Going Deeper with Convolutions
    <https://arxiv.org/abs/1409.4842>`_, 2015, section 6.
  """
  if size < 1:
    raise ValueError(f'size must be positive, got {size}.')
  for name, (low, high) in (('scale', scale), ('ratio', ratio)):
    if not 0 < low <= high or (name == 'scale' and high > 1):
      raise ValueError(
        f'{name} must be two positive numbers in order'
        f'{", at most 1" if name == "scale" else ""}, got {(low, high)}.'
      )

  def render(numbers, batch):
    image = batch['image']
    real = real_size(image, batch.get('size'))
    keys = _keys(_CROP_KEY, numbers, batch)

    def drawn(key, real):
      window_key, flip_key = jax.random.split(key)
      mirrored = jax.random.bernoulli(flip_key) & flip
      return *_window(window_key, real, scale, ratio), mirrored

    corner, extent, mirrored = jax.vmap(drawn)(keys, real)
    rows, columns = (_span(corner[:, i], extent[:, i], size) for i in (0, 1))
    shown = resample(image, rows, columns, size)
    shown = jnp.where(mirrored[:, None, None, None], shown[:, :, ::-1], shown)
    kept = {name: x for name, x in batch.items() if name != 'size'}
    return {**kept, 'image': _as_pixels(shown, image.dtype)}

  given = (
    ''
    if (scale, ratio) == ((0.08, 1.0), (3 / 4, 4 / 3))
    else (f'_scale{scale[0]:g}-{scale[1]:g}_ratio{ratio[0]:g}-{ratio[1]:g}')
  )
  name = f'resized_crop{size}{given}{"_flip" if flip else ""}_of{views}'
  return Views(name, views, _draw(views), render)


def colour_jitter_views(
  *,
  brightness: float = 0.4,
  contrast: float = 0.4,
  saturation: float = 0.4,
  views: int = 1000,
) -> Views:
  """Returns images of changed brightness, contrast and saturation.

  The image is blended with black, with its mean grey, and with its grey image,
  in an order drawn for every view. Each factor is uniform within
  `1 - strength` and `1 + strength`, at least 0; a factor of 1 changes nothing.
  Values are clipped to 0..255 after every change. Pixels beyond the `size` of a
  canvas do not count for the mean. Grey images have no saturation to change.

  >>> colour_jitter_views(saturation=0.1, views=20)[:2]
  ('jitter0.4-0.4-0.1_of20', 20)

  Args:
    brightness: Strength, 0 or more.
    contrast: Strength, 0 or more.
    saturation: Strength, 0 or more.
    views: Number of views of an example.

  Raises:
    ValueError: if an argument is out of range; when rendered, if the batch has
      no `index`, or images have neither 1 nor 3 channels.

  References:
    torchvision's `ColorJitter
    <https://docs.pytorch.org/vision/stable/transforms.html>`_ without hue.
  """
  strengths = {
    'brightness': brightness,
    'contrast': contrast,
    'saturation': saturation,
  }
  for name, strength in strengths.items():
    if not strength >= 0:
      raise ValueError(f'{name} must be 0 or more, got {strength}.')
  low = jnp.array([max(0.0, 1 - x) for x in strengths.values()], jnp.float32)
  high = jnp.array([1 + x for x in strengths.values()], jnp.float32)

  def render(numbers, batch):
    image = batch['image']
    if image.shape[-1] not in (1, 3):
      raise ValueError(f'image must have 1 or 3 channels, got {image.shape}.')

    def one(key, image, real):
      order_key, factor_key = jax.random.split(key)
      order = jax.random.permutation(order_key, len(strengths))
      factors = jax.random.uniform(
        factor_key, low.shape, minval=low, maxval=high
      )
      return _jittered(image.astype(jnp.float32), real, order, factors)

    keys = _keys(_JITTER_KEY, numbers, batch)
    real = real_size(image, batch.get('size'))
    shown = jax.vmap(one)(keys, image, real)
    return {**batch, 'image': _as_pixels(shown, image.dtype)}

  given = '-'.join(f'{x:g}' for x in strengths.values())
  return Views(f'jitter{given}_of{views}', views, _draw(views), render)


def _draw(views: int) -> Callable[[jax.Array], jax.Array]:
  if views < 1:
    raise ValueError(f'views must be 1 or more, got {views}.')
  return lambda keys: jax.vmap(
    lambda key: jax.random.randint(key, (), 0, views)
  )(keys)


def _keys(kind: int, numbers: jax.Array, batch: Mapping) -> jax.Array:
  """Returns the keys of views of examples, `[batch]`."""
  if 'index' not in batch:
    raise ValueError('The batch must have an index: it is the key of a view.')
  key = jax.random.key(kind)

  def one(index, number):
    return jax.random.fold_in(jax.random.fold_in(key, index), number)

  return jax.vmap(one)(batch['index'], numbers)


def _window(
  key: jax.Array,
  real: jax.Array,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> tuple[jax.Array, jax.Array]:
  """Draws a window of an image as torchvision does.

  Returns:
    Its top left corner and its height and width, both int32 `[2]`.
  """
  area_key, ratio_key, corner_key = jax.random.split(key, 3)
  height, width = real[0].astype(jnp.float32), real[1].astype(jnp.float32)
  area = (
    height
    * width
    * jax.random.uniform(area_key, (_TRIES,), minval=scale[0], maxval=scale[1])
  )
  log_ratio = jax.random.uniform(
    ratio_key,
    (_TRIES,),
    minval=jnp.log(jnp.float32(ratio[0])),
    maxval=jnp.log(jnp.float32(ratio[1])),
  )
  tried = jnp.stack(
    [
      jnp.round(jnp.sqrt(area * jnp.exp(-log_ratio))),
      jnp.round(jnp.sqrt(area * jnp.exp(log_ratio))),
    ],
    axis=1,
  ).astype(jnp.int32)
  fits = jnp.all((tried > 0) & (tried <= real[None]), axis=1)
  nearest = jnp.clip(width / height, ratio[0], ratio[1])
  central = jnp.stack(
    [
      jnp.minimum(height, jnp.round(width / nearest)),
      jnp.minimum(width, jnp.round(height * nearest)),
    ]
  ).astype(jnp.int32)
  found = jnp.any(fits)
  extent = jnp.where(found, tried[jnp.argmax(fits)], central)
  free = real - extent
  corner = jax.random.randint(corner_key, (2,), 0, free + 1)
  return jnp.where(found, corner, free // 2), extent


def _span(corner: jax.Array, extent: jax.Array, size: int) -> Span:
  return Span(
    corner,
    corner + extent,
    corner.astype(jnp.float32),
    extent.astype(jnp.float32) / size,
  )


def _jittered(
  image: jax.Array, real: jax.Array, order: jax.Array, factors: jax.Array
) -> jax.Array:
  """Blends an image `[h, w, c]` in three ways, in an order."""
  luma = jnp.array(_LUMA if image.shape[-1] == 3 else (1.0,), jnp.float32)
  rows, columns = (jnp.arange(length) for length in image.shape[:2])
  inside = (rows < real[0])[:, None] & (columns < real[1])[None]
  count = (real[0] * real[1]).astype(jnp.float32)
  for place in range(len(factors)):
    grey = jnp.sum(image * luma[None, None], axis=-1, keepdims=True)
    mean = jnp.sum(jnp.where(inside[..., None], grey, 0)) / count
    others = [jnp.zeros_like(grey), jnp.full_like(grey, mean), grey]
    kind = order[place]
    other = jnp.select([kind == i for i in range(3)], others)
    image = jnp.clip(other + factors[kind] * (image - other), 0, 255)
  return image


def _as_pixels(image: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """Returns values as the images' dtype; integers are rounded."""
  if jnp.issubdtype(dtype, jnp.integer):
    image = jnp.round(image)
  return image.astype(dtype)
