"""An epoch over devices: as one program, or batch by batch.

Both forms see the same batches, in the same order, under the same
augmentation, and that on any number of devices: order and augmentation follow
from the key, the epoch and an example's place in the global batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data
from kdjax.training import parallel
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


def _resident_step(
  train_step: Callable, prepare: Prepare, local: int
) -> Callable:
  """A step whose batch is picked from examples that lie on the device.

  `order` is what `data.epoch_order` returns, `outputs` what `cached_outputs`
  does; `device` is the device's number and `local` its share of the batch.
  """

  def one_step(
    states, teacher, examples, order, outputs, augment_key, step, device
  ):
    indices, weight = order
    places = device * local + jnp.arange(local)
    index = indices[step, places]
    batch = {name: values[index] for name, values in examples.items()}
    batch |= {'index': index, 'weight': weight[step, places]}
    if outputs:
      batch['teacher'] = jax.tree.map(lambda x: x[step, places], outputs)
    step_key = jax.random.fold_in(augment_key, step)
    batch = prepared(prepare, step_key, places, batch)
    return train_step(states, teacher, batch)

  return one_step


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
) -> Epoch:
  """An epoch as one program, with the data set resident on the devices.

  Shuffling, augmentation and all steps run without the host.

  Args:
    train_step: From `make_train_step` with `axis_name=AXIS`.
    teacher_variables: The teacher's, or None.
    source: The training examples; all are copied to every device.
    prepare: `(keys, uint8 images) -> float images`, pure.
    key: Draws orders and augmentations.
    batch_size: Of the global batch; the devices must divide it.
    devices: All local devices by default.
    cached: Gives the teacher's outputs for the epoch before it begins, in
      `batch['teacher']`; `train_step` and `teacher_variables` are without a
      teacher then.

  Returns:
    `run(states, epoch) -> (states, metrics)`; donates the states; metrics have
    a leading axis of steps and are still on the device.

  Raises:
    ValueError: if the devices do not divide the batch.
  """
  parallel.check_batch_size(batch_size, devices)
  local = batch_size // parallel.device_count(devices)
  resident_step = _resident_step(train_step, prepare, local)

  def epoch_on_device(states, shared, device):
    teacher, examples, key, epoch, outputs = shared
    order_key, augment_key = epoch_keys(key, epoch)
    order = data.epoch_order(order_key, examples['label'].shape[0], batch_size)

    def one_step(states, step):
      return resident_step(
        states, teacher, examples, order, outputs, augment_key, step, device
      )

    return jax.lax.scan(one_step, states, jnp.arange(order[0].shape[0]))

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

  Same arguments and result. For convolutional networks on CPU: inside a loop
  XLA:CPU gives up the fast kernels for the gradients of convolutions
  (https://github.com/jax-ml/jax/issues/12868); a ResNet-20's step took 18
  times longer there.
  """
  parallel.check_batch_size(batch_size, devices)
  local = batch_size // parallel.device_count(devices)
  resident_step = _resident_step(train_step, prepare, local)

  def step_on_device(states, shared, device):
    return resident_step(states, *shared, device)

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
