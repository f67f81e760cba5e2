"""An epoch over devices: as one program, or batch by batch.

Both forms see the same batches, in the same order, under the same
augmentation, and that on any number of devices: order and augmentation follow
from the key, the epoch and an example's place in the global batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data
from kdjax.training import parallel
from kdjax.training.state import TrainState

# (keys, images uint8) -> images float: augmentation and normalisation.
Prepare = Callable[[jax.Array, jax.Array], jax.Array]
# (states, epoch) -> (states, metrics of shape [steps, ...]).
Epoch = Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]]


def _keys(
  key: jax.Array, epoch: jax.typing.ArrayLike
) -> tuple[jax.Array, jax.Array]:
  """The epoch's keys for order and augmentation."""
  order_key, augment_key = jax.random.split(jax.random.fold_in(key, epoch))
  return order_key, augment_key


def _prepared(
  prepare: Prepare, step_key: jax.Array, places: jax.Array, batch: Mapping
) -> dict[str, jax.Array]:
  """The batch with its images augmented, each by its place's own key."""
  keys = data.example_keys(step_key, places)
  return {**batch, 'image': prepare(keys, batch['image'])}


def _resident_step(
  train_step: Callable, prepare: Prepare, local: int
) -> Callable:
  """A step whose batch is picked from examples that lie on the device.

  `order` is what `data.epoch_order` returns; `device` is the device's number
  and `local` its share of the batch.
  """

  def one_step(states, teacher, examples, order, augment_key, step, device):
    indices, weight = order
    places = device * local + jnp.arange(local)
    index = indices[step, places]
    batch = {name: values[index] for name, values in examples.items()}
    batch |= {'index': index, 'weight': weight[step, places]}
    step_key = jax.random.fold_in(augment_key, step)
    batch = _prepared(prepare, step_key, places, batch)
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
    teacher, examples, key, epoch = shared
    order_key, augment_key = _keys(key, epoch)
    order = data.epoch_order(order_key, examples['label'].shape[0], batch_size)

    def one_step(states, step):
      return resident_step(
        states, teacher, examples, order, augment_key, step, device
      )

    return jax.lax.scan(one_step, states, jnp.arange(order[0].shape[0]))

  program = parallel.spread(epoch_on_device, devices, donate=True)
  fixed = parallel.replicate((teacher_variables, source.arrays(), key), devices)
  numbers = parallel.device_numbers(devices)

  def run(states: TrainState, epoch: int):
    epoch_number = parallel.replicate(np.int32(epoch), devices)
    return program(states, (*fixed, epoch_number), numbers)

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
    order_key, augment_key = _keys(key, epoch)
    order = data.epoch_order(order_key, len(source), batch_size)
    placed = parallel.replicate((order, augment_key), devices)
    metrics = []
    for step in range(order[0].shape[0]):
      number = parallel.replicate(np.int32(step), devices)
      states, one = program(states, (*fixed, *placed, number), numbers)
      metrics.append(one)
    return states, _stacked(metrics)

  return run


def _stacked(metrics: list[dict[str, jax.Array]]) -> dict[str, np.ndarray]:
  """Metrics of single steps with a leading axis of steps, on the host."""
  return jax.tree.map(lambda *xs: np.stack(xs), *jax.device_get(metrics))


def streaming_epoch(
  train_step: Callable,
  teacher_variables: Any,
  source: data.Source,
  prepare: Prepare,
  *,
  key: jax.Array,
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
) -> Epoch:
  """An epoch step by step, for data that does not fit on the devices.

  Same arguments and result as `resident_epoch`; threads read ahead of the
  steps, and the host waits for nothing but a batch.
  """
  parallel.check_batch_size(batch_size, devices)

  def step_on_device(states, shared, shard):
    teacher, step_key = shared
    places, batch = shard
    return train_step(
      states, teacher, _prepared(prepare, step_key, places, batch)
    )

  program = parallel.spread(step_on_device, devices, donate=True)
  teacher = parallel.replicate(teacher_variables, devices)
  places = np.arange(batch_size)

  def run(states: TrainState, epoch: int):
    order_key, augment_key = _keys(key, epoch)
    order = data.epoch_order(order_key, len(source), batch_size)
    metrics = []
    for step, batch in enumerate(data.batches(source, *order)):
      step_key = parallel.replicate(
        jax.random.fold_in(augment_key, step), devices
      )
      shard = parallel.shard((places, batch), devices)
      states, step_metrics = program(states, (teacher, step_key), shard)
      metrics.append(step_metrics)
    return states, _stacked(metrics)

  return run
