"""A model that resizes its own images."""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from kdjax.data.resampling import Span, real_size, resample
from kdjax.models.model import Batch, Model, ModelVariables, Outputs

# torchvision's 256 -> 224.
_MARGIN = 0.875


def resized(model: Model, size: int, *, resize: int | None = None) -> Model:
  """Returns the model on the centre of images resized to its own size.

  The shorter side becomes `resize` pixels long (bilinear, antialiased), then
  the central `size x size` pixels are taken. Both happen inside XLA, from the
  canvases of images of unequal size. Images that are `size x size` already,
  without a `size` entry in the batch, pass unchanged; such are the views of
  `data.random_resized_crop_views`. Teacher and student may have different
  sizes.

  >>> from kdjax.models import create, taps
  >>> model = resized(create('cnn_student', classes=5), 32)
  >>> taps(model, {'image': jnp.zeros((2, 90, 70, 3), jnp.uint8)})['stage1']
  (2, 32, 32, 16)

  Args:
    model: Reads `batch['image']`, `[batch, size, size, channels]`.
    size: Side of the model's images, positive.
    resize: Length of the shorter side before the crop, at least `size`.
      Default: `size / 0.875`, rounded: 256 for 224.

  Returns:
    A model that reads `image`, `[batch, height, width, channels]` of any dtype,
    and, if there is one, `size`, int32 `[batch, 2]`: height and width of the
    real part in the top left corner. Resized images are float32. The note holds
    `image_size` and `resize`.

  Raises:
    ValueError: if `size` is not positive or `resize` is below `size`.

  References:
    The resizing of torchvision's `ImageNet evaluation
    <https://github.com/pytorch/vision/tree/main/references/classification>`_.
  """
  if size < 1:
    raise ValueError(f'size must be positive, got {size}.')
  shorter = round(size / _MARGIN) if resize is None else resize
  if shorter < size:
    raise ValueError(f'resize must be at least size={size}, got {resize}.')

  def seen(batch: Batch) -> Batch:
    image = jnp.asarray(batch['image'])
    real = batch.get('size')
    if real is None and image.shape[1:3] == (size, size):
      return batch
    real = real_size(image, real)
    rows, columns = (
      _centre(real[:, axis], jnp.min(real, axis=1), size, shorter)
      for axis in (0, 1)
    )
    shown = {name: x for name, x in batch.items() if name != 'size'}
    return {**shown, 'image': resample(image, rows, columns, size)}

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    return model.init(key, seen(batch))

  def apply(
    variables: ModelVariables, batch: Batch, **options
  ) -> tuple[Outputs, chex.ArrayTree]:
    return model.apply(variables, seen(batch), **options)

  note = {**model.note, 'image_size': size, 'resize': shorter}
  return Model(init, apply, note)


def at_own_size(model: Model, batch: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the shapes of a batch as the model sees it, for its costs.

  Args:
    model: Any model.
    batch: Shapes of a batch, with or without canvases.

  Returns:
    The shapes with images of the model's own size; unchanged if the model does
    not resize.
  """
  size, shown = model.note.get('image_size'), dict(batch)
  if size is not None and 'image' in shown:
    image = shown['image']
    shape = (image.shape[0], size, size, image.shape[-1])
    shown['image'] = jax.ShapeDtypeStruct(shape, image.dtype)
    shown.pop('size', None)
  return shown


def _centre(
  length: jax.Array, shortest: jax.Array, size: int, shorter: int
) -> Span:
  """Returns the central window of images whose shorter side is resized.

  The lengths and the place of the window are rounded as in torchvision.
  """
  # Integers: a float would turn some exact lengths into one less.
  after = shorter * length // shortest
  ratio = length.astype(jnp.float32) / after.astype(jnp.float32)
  offset = jnp.round((after - size).astype(jnp.float32) / 2)
  return Span(jnp.zeros_like(length), length, offset * ratio, ratio)
