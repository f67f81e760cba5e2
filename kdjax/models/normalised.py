"""A model that normalises its own images."""

from collections.abc import Sequence

import chex
import jax.numpy as jnp

from kdjax.models.model import Batch, Model, ModelVariables, Outputs

# Mean and standard deviation per channel that published weights expect, in
# units of the stored pixel: 255 times (0.485, 0.456, 0.406) and so on.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def normalised(
  model: Model, mean: Sequence[float], std: Sequence[float]
) -> Model:
  """Returns the model on `(image - mean) / std`, in float32.

  Teacher and student may need different statistics for one view, for instance
  with published weights, so each model has its own statistics.

  Args:
    model: Reads `batch['image']`, float32 `[batch, height, width, channels]`.
    mean: One number per channel, in units of the stored pixel: 0..255, not
      0..1, for photographs.
    std: One positive number per channel, in the same units.

  Returns:
    A model whose images are stored pixels, uint8 or float; its note holds
    `mean` and `std`.

  Raises:
    ValueError: if `mean` and `std` differ in length, or a number of `std` is
      not positive; when called, if the images have another number of channels.
  """
  if len(mean) != len(std):
    raise ValueError(f'std must be {len(mean)} numbers like mean, got {std}.')
  if not all(deviation > 0 for deviation in std):
    raise ValueError(f'std must be positive, got {std}.')

  def seen(batch: Batch) -> Batch:
    image = jnp.asarray(batch['image'])
    channels = image.shape[-1]
    if len(mean) != channels:
      raise ValueError(
        f'mean must be {channels} numbers, one per channel, got {mean}.'
      )
    shape = (1,) * (image.ndim - 1) + (channels,)
    centre = jnp.asarray(mean, jnp.float32).reshape(shape)
    scale = jnp.asarray(std, jnp.float32).reshape(shape)
    return {**batch, 'image': (image.astype(jnp.float32) - centre) / scale}

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    return model.init(key, seen(batch))

  def apply(
    variables: ModelVariables, batch: Batch, **options
  ) -> tuple[Outputs, chex.ArrayTree]:
    return model.apply(variables, seen(batch), **options)

  note = {**model.note, 'mean': list(mean), 'std': list(std)}
  return Model(init, apply, note)
