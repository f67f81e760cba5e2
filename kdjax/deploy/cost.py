"""The cost of a model's forward pass."""

import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model, ModelVariables


class Cost(NamedTuple):
  """What a model costs.

  Attributes:
    parameters: Trained numbers.
    bytes: Memory of the variables, batch statistics included.
    flops_per_example: Of one forward pass, from the compiler's cost analysis.
    seconds_per_example: Of one forward pass, median of several batches.
  """

  parameters: int
  bytes: int
  flops_per_example: float
  seconds_per_example: float


def measure(
  model: Model,
  variables: ModelVariables,
  image_shape: tuple[int, ...],
  *,
  batch_size: int = 64,
  repeats: int = 10,
) -> Cost:
  """Compiles and times a model's forward pass on one device.

  Args:
    model: The model; runs in inference mode.
    variables: Its variables.
    image_shape: `(height, width, channels)`.
    batch_size: Images per batch.
    repeats: Batches timed.
  """

  def forward(variables, images):
    return model.apply(variables, images)[0]['logits']

  images = jnp.zeros((batch_size, *image_shape), jnp.float32)
  compiled = jax.jit(forward).lower(variables, images).compile()
  analysis = compiled.cost_analysis() or {}
  seconds = []
  compiled(variables, images).block_until_ready()
  for _ in range(repeats):
    start = time.perf_counter()
    compiled(variables, images).block_until_ready()
    seconds.append(time.perf_counter() - start)
  return Cost(
    parameters=sum(x.size for x in jax.tree.leaves(variables.params)),
    bytes=sum(x.nbytes for x in jax.tree.leaves(variables)),
    flops_per_example=float(analysis.get('flops', 0.0)) / batch_size,
    seconds_per_example=statistics.median(seconds) / batch_size,
  )
