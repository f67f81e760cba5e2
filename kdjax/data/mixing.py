"""Mixup and cutmix: neighbours in the batch share their pixels and labels."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from kdjax.data.views import Views

# Distinguishes the draws for mixing from those of the views.
_KEY = 0x6D6978


def mixed(
  views: Views, classes: int, *, mixup: float = 0.0, cutmix: float = 0.0
) -> Views:
  """Returns views whose neighbours in the batch are mixed, labels included.

  The examples `2k` and `2k + 1` of a batch are mixed with each other. Batches
  are shuffled, so these are two random examples; and the result does not depend
  on the number of devices, as long as each holds whole pairs. Labels become
  shares of the classes, float32 `[batch, classes]`. Student and teacher see the
  same mixed images.

  Mixup adds `share` of one image and `1 - share` of the other. Cutmix replaces
  a rectangle of the image, whose share of the area is `1 - share`, by that of
  the other; the labels get the shares of the pixels. `share` is drawn for each
  pair from Beta(alpha, alpha). If both are given, each pair is mixed in one
  way, with equal chances.

  A teacher's cache cannot hold mixed images, since an image has too many
  neighbours.

  >>> from kdjax.data.views import flip_views
  >>> mixed(flip_views(), 10, mixup=0.2).name
  'flip_mixup0.2_cutmix0'

  Args:
    views: The views of single examples. Images must be of one size after them.
    classes: Number of classes.
    mixup: Alpha of mixup, 0 or more; 0 for none.
    cutmix: Alpha of cutmix, 0 or more; 0 for none.

  Raises:
    ValueError: if an alpha is negative, or `views` mix already; when called, if
      the batch is odd, its images are canvases, or labels are no integers.

  References:
    Zhang et al., `mixup: Beyond Empirical Risk Minimization
    <https://arxiv.org/abs/1710.09412>`_, 2018, equation 2; Yun et al., `CutMix
    <https://arxiv.org/abs/1905.04899>`_, 2019, section 3.1.
  """
  for name, alpha in (('mixup', mixup), ('cutmix', cutmix)):
    if not 0 <= alpha < float('inf'):
      raise ValueError(f'{name} must be 0 or more and finite, got {alpha}.')
  if views.mix is not None:
    raise ValueError(f'views must not mix examples, got {views.name}.')
  if mixup == cutmix == 0:
    return views

  def mix(keys, batch):
    _check(batch)
    draw_keys = jax.vmap(lambda key: jax.random.fold_in(key, _KEY))(keys[::2])
    shape = batch['image'].shape[1:3]

    def one(key):
      return _masks(key, shape, mixup, cutmix)

    # How much of each pixel an example keeps: the same for both neighbours.
    kept = jnp.repeat(jax.vmap(one)(draw_keys), 2, axis=0)
    share = jnp.mean(kept, axis=(1, 2))
    image = batch['image']
    pixels = image.astype(jnp.float32)
    pixels = _blend(pixels, kept[..., None])
    if jnp.issubdtype(image.dtype, jnp.integer):
      pixels = jnp.round(pixels)
    labels = jax.nn.one_hot(batch['label'], classes, dtype=jnp.float32)
    return {
      **batch,
      'image': pixels.astype(image.dtype),
      'label': _blend(labels, share[:, None]),
    }

  name = f'{views.name}_mixup{mixup:g}_cutmix{cutmix:g}'
  return views._replace(name=name, mix=mix)


def _blend(values: jax.Array, kept: jax.Array) -> jax.Array:
  """Mixes neighbours `[batch, ...]`; `kept` is how much each keeps."""
  pairs = values.reshape(-1, 2, *values.shape[1:])
  other = pairs[:, ::-1].reshape(values.shape)
  return other + kept * (values - other)


def _masks(
  key: jax.Array, shape: tuple[int, int], mixup: float, cutmix: float
) -> jax.Array:
  """Draws how much of each pixel stays, float32 `[height, width]`."""
  choice_key, mixup_key, cutmix_key, corner_key = jax.random.split(key, 4)
  blend = jnp.full(shape, _beta(mixup_key, mixup) if mixup else 1.0)
  if not cutmix:
    return blend
  cut = _rectangle(corner_key, shape, _beta(cutmix_key, cutmix))
  if not mixup:
    return cut
  return jnp.where(jax.random.bernoulli(choice_key), blend, cut)


def _beta(key: jax.Array, alpha: float) -> jax.Array:
  return jax.random.beta(key, alpha, alpha, dtype=jnp.float32)


def _rectangle(
  key: jax.Array, shape: tuple[int, int], share: jax.Array
) -> jax.Array:
  """Returns 0 in a random rectangle of about `1 - share` of the area, else 1.

  As in the paper's code, the rectangle has the image's aspect ratio, its centre
  is uniform over the image, and what lies outside of the image is cut off.
  """
  side = jnp.sqrt(1 - share)
  inside = []
  for axis, axis_key in enumerate(jax.random.split(key)):
    length = shape[axis]
    half = jnp.floor(length * side).astype(jnp.int32) // 2
    centre = jax.random.randint(axis_key, (), 0, length)
    places = jnp.arange(length)
    inside.append((places >= centre - half) & (places < centre + half))
  return 1 - (inside[0][:, None] & inside[1][None]).astype(jnp.float32)


def _check(batch: Mapping[str, jax.Array]) -> None:
  image, label = batch['image'], batch['label']
  if image.shape[0] % 2:
    raise ValueError(
      f'A batch to mix must be even on every device, got {image.shape[0]}.'
    )
  if 'size' in batch:
    raise ValueError(
      'Images to mix must have one size; crop them first, for instance with '
      'random_resized_crop_views.'
    )
  if label.shape != image.shape[:1] or not jnp.issubdtype(
    label.dtype, jnp.integer
  ):
    raise ValueError(
      f'Labels to mix must be integers [{image.shape[0]}], got {label.dtype}'
      f'{list(label.shape)}.'
    )
