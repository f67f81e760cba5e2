"""An epoch over devices: as one program, or batch by batch.

Both forms use the same batches, in the same order, under the same augmentation,
on any number of devices: order and augmentation follow from the key, the epoch
and an example's place in the global batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data
from kdjax.training import parallel
from kdjax.training.ahead import Ahead, of_steps, windows
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.epoch_parts import (
  Epoch,
  Prepare,
  cached_outputs,
  epoch_keys,
  prepared,
  stacked,
)
from kdjax.training.state import TrainState


def _resident_batch(prepare: Prepare, local: int) -> Callable:
  """Returns a function that picks a step's batch from examples on the device.

  Its argument `order` is the result of `data.epoch_order`, `outputs` the result
  of `cached_outputs`, and `device` the device's number. `local` is the size of
  the device's share of the batch.
  """

  def batch_of(examples, order, outputs, augment_key, device, step):
    indices, weight = order
    places = device * local + jnp.arange(local)
    index = indices[step, places]
    batch = {name: values[index] for name, values in examples.items()}
    batch |= {'index': index, 'weight': weight[step, places]}
    if outputs:
      batch['teacher'] = jax.tree.map(lambda x: x[step, places], outputs)
    step_key = jax.random.fold_in(augment_key, step)
    return prepared(prepare, step_key, places, batch)

  return batch_of


def resident_epoch(
  train_step: Callable,
  teacher_variables: Any,
  source: data.Source,
  prepare: Prepare,
  *,
  key: jax.Array,
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
  cached: CachedTeacher | None = None,
  ahead: Ahead | None = None,
) -> Epoch:
  """An epoch as one program, with the data set resident on the devices.

  Shuffling, augmentation and all steps run without the host.

  Args:
    train_step: Step of `make_train_step` with `axis_name=AXIS`.
    teacher_variables: Variables of the teacher, or None.
    source: The training examples; all are copied to every device.
    prepare: `(keys, batch) -> batch`, pure, such as `Views.augment`.
    key: Key that draws orders and augmentations.
    batch_size: Size of the global batch; a multiple of the number of devices.
    devices: Devices to use; all devices of all processes by default.
    cached: Cached teacher, whose outputs are read before the epoch begins and
      come in `batch['teacher']`. `train_step` then has no teacher, and
      `teacher_variables` is None.
    ahead: Teacher whose outputs come in `batch['teacher']`, computed for
      several batches at a time. `train_step` then has no teacher.

  Returns:
    `run(states, epoch) -> (states, metrics)`. It donates the states; metrics
    have a leading axis of steps and are still on the device.

  Raises:
    ValueError: if the number of devices does not divide the batch size, if
      both `cached` and `ahead` are given, or if `ahead.batches` is below 1.
  """
  parallel.check_batch_size(batch_size, devices)
  if ahead is not None and (cached is not None or ahead.batches < 1):
    raise ValueError(
      'ahead must be of one batch or more, without cached, got '
      f'batches={ahead.batches}, cached={cached}.'
    )
  local = batch_size // parallel.device_count(devices)
  resident_batch = _resident_batch(prepare, local)

  def epoch_on_device(states, shared, device):
    teacher, examples, key, epoch, outputs = shared
    order_key, augment_key = epoch_keys(key, epoch)
    order = data.epoch_order(order_key, len(source), batch_size)
    steps = order[0].shape[0]

    def batch_of(step):
      return resident_batch(examples, order, outputs, augment_key, device, step)

    if ahead is not None:
      scanned = windows(train_step, ahead, teacher, batch_of, steps)
      states, metrics = jax.lax.scan(scanned.run, states, scanned.firsts)
      return states, of_steps(metrics, steps)
    return jax.lax.scan(
      lambda states, step: train_step(states, teacher, batch_of(step)),
      states,
      jnp.arange(steps),
    )

  program = parallel.spread(epoch_on_device, devices, donate=True)
  fixed = parallel.replicate((teacher_variables, source.arrays(), key), devices)
  numbers = parallel.device_numbers(devices)

  def run(states: TrainState, epoch: int):
    epoch_number = parallel.replicate(np.int32(epoch), devices)
    outputs = cached_outputs(cached, source, key, epoch, batch_size, devices)
    return program(states, (*fixed, epoch_number, outputs), numbers)

  return run


def stepped_epoch(
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
  """`resident_epoch` with the loop over steps on the host.

  The arguments are the same without `ahead`; the metrics are on the host. This
  form suits convolutional networks on CPU: inside a loop XLA:CPU does not use
  the fast kernels for the gradients of convolutions
  (https://github.com/jax-ml/jax/issues/12868), and a ResNet-20's step took 18
  times longer.
  """
  parallel.check_batch_size(batch_size, devices)
  local = batch_size // parallel.device_count(devices)
  resident_batch = _resident_batch(prepare, local)

  def step_on_device(states, shared, device):
    teacher, examples, order, outputs, augment_key, step = shared
    batch = resident_batch(examples, order, outputs, augment_key, device, step)
    return train_step(states, teacher, batch)

  program = parallel.spread(step_on_device, devices, donate=True)
  fixed = parallel.replicate((teacher_variables, source.arrays()), devices)
  numbers = parallel.device_numbers(devices)

  def run(states: TrainState, epoch: int):
    order_key, augment_key = epoch_keys(key, epoch)
    order = data.epoch_order(order_key, len(source), batch_size)
    outputs = cached_outputs(cached, source, key, epoch, batch_size, devices)
    placed = parallel.replicate((order, outputs, augment_key), devices)
    metrics = []
    for step in range(order[0].shape[0]):
      number = parallel.replicate(np.int32(step), devices)
      states, one = program(states, (*fixed, *placed, number), numbers)
      metrics.append(one)
    return states, stacked(metrics)

  return run
