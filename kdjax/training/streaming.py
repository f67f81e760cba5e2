"""An epoch batch by batch, for data that does not fit on the devices."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kdjax import data
from kdjax.training import parallel
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.epoch_parts import (
  Epoch,
  Prepare,
  epoch_keys,
  prepared,
  shown,
  stacked,
)
from kdjax.training.state import TrainState


def streaming_epoch(
  train_step: Callable,
  teacher_variables: Any,
  source: data.Source,
  prepare: Prepare,
  *,
  key: jax.Array,
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
  cached: CachedTeacher | None = None,
) -> Epoch:
  """An epoch step by step, for data that does not fit on the devices.

  The arguments are those of `resident_epoch` without `ahead`; the metrics are
  on the host. Threads read the next batches. The host waits only for a batch
  and, on several CPU devices, for the step before the last.
  """
  parallel.check_batch_size(batch_size, devices)

  def step_on_device(states, shared, shard):
    teacher, step_key = shared
    places, batch = shard
    return train_step(
      states, teacher, prepared(prepare, step_key, places, batch)
    )

  program = parallel.spread(step_on_device, devices, donate=True)
  teacher = parallel.replicate(teacher_variables, devices)
  own = parallel.own_places(batch_size, devices)
  places = np.arange(batch_size)[own]

  def run(states: TrainState, epoch: int):
    order_key, augment_key = epoch_keys(key, epoch)
    indices, weight = jax.device_get(
      data.epoch_order(order_key, len(source), batch_size)
    )
    if cached is not None:
      _, views = shown(cached, source, key, epoch, batch_size)
    metrics = []
    batches = data.batches(source, indices[:, own], weight[:, own])
    for step, examples in enumerate(batches):
      batch: dict[str, Any] = dict(examples)
      if cached is not None:
        outputs = cached.outputs(
          indices[step],
          views[step],
          functools.partial(_at, source, indices[step], places, examples),
        )
        batch['teacher'] = {name: x[own] for name, x in outputs.items()}
      step_key = parallel.replicate(
        jax.random.fold_in(augment_key, step), devices
      )
      shard = parallel.shard((places, batch), devices)
      states, step_metrics = program(states, (teacher, step_key), shard)
      metrics.append(step_metrics)
    if cached is not None:
      cached.flush()
    return states, stacked(metrics)

  return run


def _at(
  source: data.Source,
  indices: np.ndarray,
  own: np.ndarray,
  examples: Mapping,
  places: np.ndarray,
) -> Mapping[str, np.ndarray]:
  """Returns the examples at places of the batch; reads again if needed."""
  if len(own) < len(indices):
    return source.fetch(indices[places])
  return {name: values[places] for name, values in examples.items()}
