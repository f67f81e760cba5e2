"""What a saved network says of single images."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data, models
from kdjax.models import Model, Network

_BATCH = 64
# A longer shorter side is first reduced to this many times the network's size.
_MARGIN = 2


def predict(
  network: Network,
  images: Sequence[Any],
  *,
  shape: Sequence[int] | None = None,
) -> np.ndarray:
  """Returns the probabilities of the classes for images of any size.

  The network's own preprocessing is applied: its statistics, and its resizing.
  For a network of images of one size without a resizing of its own, the shorter
  side is resized to that size and the centre is cropped.

  Args:
    network: From `recipes.load`, or any network of images.
    images: Paths of image files, or arrays, uint8 `[height, width, channels]`
      of 0 to 255.
    shape: `[height, width, channels]` of the images that the network was
      trained on; by default `[image_size, image_size, 3]` of its note.

  Returns:
    float32 `[images, classes]`; each row adds up to 1.

  Raises:
    DataError: if a file cannot be read; the message names it.
    ValueError: if there is no image, or nothing says which size the network
      needs.
  """
  if not len(images):
    raise ValueError('images must hold at least one image, got none.')
  model, size, channels = _sized(network.model, shape)
  batch = data.read_images(images, shorter=_MARGIN * size, channels=channels)
  answer = jax.jit(_probabilities(model))
  found = []
  for start in range(0, len(images), _BATCH):
    part = {name: x[start : start + _BATCH] for name, x in batch.items()}
    found.append(np.asarray(answer(network.variables, part)))
  return np.concatenate(found)


def _sized(model: Model, shape: Sequence[int] | None) -> tuple[Model, int, int]:
  """Returns the model on images of any size, its size, and the channels."""
  size = model.note.get('image_size')
  if size is not None:
    return model, int(size), shape[-1] if shape else 3
  if shape is None:
    raise ValueError('shape must be given for a network without image_size.')
  height, width, channels = shape
  if height != width:
    raise ValueError(f'shape must be square, got {height}x{width}.')
  return models.resized(model, height, resize=height), height, channels


def _probabilities(model: Model):
  def answer(variables, batch):
    outputs, _ = model.apply(variables, batch)
    return jax.nn.softmax(outputs['logits'].astype(jnp.float32), axis=-1)

  return answer
