"""What the forms of an epoch share: keys, batches, a cached teacher."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data
from kdjax.training import parallel
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.state import TrainState

# (keys, images uint8) -> images float: augmentation and normalisation.
Prepare = Callable[[jax.Array, jax.Array], jax.Array]
# (states, epoch) -> (states, metrics of shape [steps, ...]).
Epoch = Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]]


def epoch_keys(
  key: jax.Array, epoch: jax.typing.ArrayLike
) -> tuple[jax.Array, jax.Array]:
  """The epoch's keys for order and augmentation."""
  order_key, augment_key = jax.random.split(jax.random.fold_in(key, epoch))
  return order_key, augment_key


def prepared(
  prepare: Prepare, step_key: jax.Array, places: jax.Array, batch: Mapping
) -> dict[str, Any]:
  """The batch with its images augmented, each by its place's own key."""
  keys = data.example_keys(step_key, places)
  return {**batch, 'image': prepare(keys, batch['image'])}


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def drawn_views(
  views: data.Views, augment_key: jax.Array, steps: int, batch_size: int
) -> jax.Array:
  """The views that `prepared` will show in an epoch, `[steps, batch_size]`."""

  def of_step(step):
    step_key = jax.random.fold_in(augment_key, step)
    return views.draw(data.example_keys(step_key, jnp.arange(batch_size)))

  return jax.vmap(of_step)(jnp.arange(steps))


def cached_outputs(
  cached: CachedTeacher | None,
  source: data.Source,
  indices: jax.Array,
  augment_key: jax.Array,
  devices: Sequence[jax.Device] | None,
) -> dict[str, jax.Array]:
  """The teacher's outputs for an epoch, `[steps, batch, ...]`, if cached."""
  if cached is None:
    return {}
  order = jax.device_get(indices)
  outputs = cached.outputs(
    order,
    jax.device_get(drawn_views(cached.views, augment_key, *order.shape)),
    lambda places: source.fetch(order.ravel()[places])['image'],
  )
  return parallel.replicate(outputs, devices)


def stacked(metrics: list[dict[str, jax.Array]]) -> dict[str, np.ndarray]:
  """Metrics of single steps with a leading axis of steps, on the host."""
  return jax.tree.map(lambda *xs: np.stack(xs), *jax.device_get(metrics))
