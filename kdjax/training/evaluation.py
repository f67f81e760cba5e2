"""Evaluation of a network on a whole data set, over devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import data
from kdjax.models import ModelVariables
from kdjax.training import parallel

# Maps variables to the sums of the eval step over the data set, NumPy.
Evaluation = Callable[[ModelVariables], Any]


def resident_evaluation(
  eval_step: Callable,
  source: data.Source,
  *,
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
) -> Evaluation:
  """Evaluation as one program, with the data set resident on the devices.

  Args:
    eval_step: Step of `make_eval_step` with `axis_name=AXIS`.
    source: The examples; each counts exactly once.
    batch_size: Size of the global batch, rounded up to a multiple of the number
      of devices.
    devices: Devices to use; all devices of all processes by default.

  Returns:
    `run(variables) -> sums` over all examples, NumPy.
  """
  count = parallel.device_count(devices)
  local = -(-min(batch_size, len(source)) // count)

  def evaluate_on_device(variables, examples, device):
    indices, weight = data.sequential_order(len(source), local * count)
    places = device * local + jnp.arange(local)

    def one_step(step):
      index = indices[step, places]
      batch = {name: values[index] for name, values in examples.items()}
      batch |= {'index': index, 'weight': weight[step, places]}
      return eval_step(variables, batch)

    sums = jax.lax.map(one_step, jnp.arange(indices.shape[0]))
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)

  program = parallel.spread(evaluate_on_device, devices)
  examples = parallel.replicate(source.arrays(), devices)
  numbers = parallel.device_numbers(devices)
  return lambda variables: jax.device_get(program(variables, examples, numbers))


def streaming_evaluation(
  eval_step: Callable,
  source: data.Source,
  *,
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
) -> Evaluation:
  """Evaluation batch by batch, otherwise like `resident_evaluation`."""
  count = parallel.device_count(devices)
  batch_size = -(-min(batch_size, len(source)) // count) * count

  def step_on_device(variables, shared, batch):
    del shared
    return eval_step(variables, batch)

  program = parallel.spread(step_on_device, devices)

  def run(variables: ModelVariables) -> Any:
    own = parallel.own_places(batch_size, devices)
    order = data.sequential_order(len(source), batch_size)
    indices, weight = (x[:, own] for x in jax.device_get(order))
    sums: Any = None
    for batch in data.batches(source, indices, weight):
      part = program(variables, (), parallel.shard(batch, devices))
      sums = part if sums is None else jax.tree.map(jnp.add, sums, part)
    return jax.device_get(sums)

  return run
