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
  """Picks the batch of a step from examples that lie on the device.

  `order` is what `data.epoch_order` returns, `outputs` what `cached_outputs`
  does; `device` is the device's number and `local` its share of the batch.
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
    train_step: From `make_train_step` with `axis_name=AXIS`.
    teacher_variables: The teacher's, or None.
    source: The training examples; all are copied to every device.
    prepare: `(keys, batch) -> batch`, pure, such as `Views.augment`.
    key: Draws orders and augmentations.
    batch_size: Of the global batch; the devices must divide it.
    devices: All local devices by default.
    cached: Gives the teacher's outputs for the epoch before it begins, in
      `batch['teacher']`; `train_step` and `teacher_variables` are without a
      teacher then.
    ahead: The teacher whose outputs come in `batch['teacher']`, computed for
      several batches at a time; `train_step` is without a teacher then.

  Returns:
    `run(states, epoch) -> (states, metrics)`; donates the states; metrics have
    a leading axis of steps and are still on the device.

  Raises:
    ValueError: if the devices do not divide the batch, or the teacher is both
      cached and ahead, or ahead by less than one batch.
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

  Same arguments, but `ahead`, and result. For convolutional networks on CPU:
  inside a loop XLA:CPU gives up the fast kernels for the gradients of
  convolutions (https://github.com/jax-ml/jax/issues/12868); a ResNet-20's step
  took 18 times longer there.
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
