"""A small data set, and what the steps of its epochs are given."""

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data, training

EXAMPLES, BATCH, CLASSES = 44, 16, 3  # the third batch is 12 and padding
_RANDOM = np.random.default_rng(0)
PIXELS = _RANDOM.integers(0, 200, (EXAMPLES, 4, 4, 1)).astype(np.uint8)
LABELS = _RANDOM.integers(0, CLASSES, EXAMPLES).astype(np.int32)
KEY = 9
EPOCHS = {
  'resident': training.resident_epoch,
  'stepped': training.stepped_epoch,
  'streaming': training.streaming_epoch,
}


def source():
  return data.from_arrays(PIXELS, LABELS)


def prepare(keys, images):
  return data.normalise(data.flip(keys, images), (100.0,), (60.0,))


def record(kind, count, epoch):
  """What the steps of an epoch are given, by a step that only looks."""

  def look(states, teacher_variables, batch):
    del teacher_variables
    gathered = jax.tree.map(
      lambda x: jax.lax.all_gather(x, training.AXIS, tiled=True), dict(batch)
    )
    return states, gathered

  devices = jax.local_devices()[:count]
  run = EPOCHS[kind](
    look,
    None,
    source(),
    prepare,
    key=jax.random.key(KEY),
    batch_size=BATCH,
    devices=devices,
  )
  states = training.replicate({'x': jnp.zeros(3)}, devices)
  _, batches = run(states, epoch)
  return jax.device_get(batches)
