"""Parts that the forms of an epoch share: keys, batches, cached outputs."""

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

# (keys, one per example; batch) -> batch: the augmentation.
Prepare = Callable[[jax.Array, Mapping], Mapping]
# (states, epoch) -> (states, metrics of shape [steps, ...]).
Epoch = Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]]


def epoch_keys(
  key: jax.Array, epoch: jax.typing.ArrayLike
) -> tuple[jax.Array, jax.Array]:
  """Returns the epoch's keys for order and augmentation."""
  order_key, augment_key = jax.random.split(jax.random.fold_in(key, epoch))
  return order_key, augment_key


def prepared(
  prepare: Prepare, step_key: jax.Array, places: jax.Array, batch: Mapping
) -> dict[str, Any]:
  """Augments every example of a batch with the key of its place."""
  return dict(prepare(data.example_keys(step_key, places), batch))


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _shown(
  views: data.Views, key: jax.Array, epoch: jax.Array, examples: int, batch: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the examples of an epoch and their views, both `[steps, batch]`."""
  order_key, augment_key = epoch_keys(key, epoch)
  indices, _ = data.epoch_order(order_key, examples, batch)

  def drawn(step):
    step_key = jax.random.fold_in(augment_key, step)
    return views.draw(data.example_keys(step_key, jnp.arange(batch)))

  return indices, jax.vmap(drawn)(jnp.arange(indices.shape[0]))


def shown(
  cached: CachedTeacher,
  source: data.Source,
  key: jax.Array,
  epoch: int,
  batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the examples and views that an epoch needs from `cached`."""
  number = jax.device_put(np.int32(epoch))
  found = _shown(cached.views, key, number, len(source), batch_size)
  return jax.device_get(found)


def cached_outputs(
  cached: CachedTeacher | None,
  source: data.Source,
  key: jax.Array,
  epoch: int,
  batch_size: int,
  devices: Sequence[jax.Device] | None,
) -> dict[str, jax.Array]:
  """Returns cached outputs for an epoch, `[steps, batch, ...]`, or `{}`."""
  if cached is None:
    return {}
  indices, views = shown(cached, source, key, epoch, batch_size)
  outputs = cached.outputs(
    indices,
    views,
    lambda places: source.fetch(indices.ravel()[places]),
  )
  cached.flush()
  return parallel.replicate(outputs, devices)


def stacked(metrics: list[dict[str, jax.Array]]) -> dict[str, np.ndarray]:
  """Stacks the metrics of single steps along a first axis, on the host."""
  return jax.tree.map(lambda *xs: np.stack(xs), *jax.device_get(metrics))
