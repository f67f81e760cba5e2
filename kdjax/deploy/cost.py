"""The cost of a model's forward pass."""

import functools
import statistics
import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model, ModelVariables


class Cost(NamedTuple):
  """The cost of a model.

  Attributes:
    parameters: Number of trained parameters.
    bytes: Memory of the variables, batch statistics included.
    flops_per_example: Floating point operations of a forward pass, from the
      compiler's cost analysis.
    seconds_per_example: Time of a forward pass, median of several batches.
  """

  parameters: int
  bytes: int
  flops_per_example: float
  seconds_per_example: float


class Estimate(NamedTuple):
  """The part of a model's cost that needs no compilation.

  Attributes:
    parameters: Number of trained parameters.
    bytes: Memory of the variables, batch statistics included.
    flops_per_example: Floating point operations of a forward pass, of the
      program before the compiler optimises it.
  """

  parameters: int
  bytes: int
  flops_per_example: float


def estimate(
  model: Model, batch: Mapping[str, jax.ShapeDtypeStruct]
) -> Estimate:
  """Estimates a model's cost from shapes; compiles and runs nothing.

  Args:
    model: The model; in inference mode.
    batch: Shapes and dtypes of a batch of one example.
  """
  variables = jax.eval_shape(model.init, jax.random.key(0), batch)
  lowered = jax.jit(functools.partial(_forward, model)).lower(variables, batch)
  analysis = lowered.cost_analysis() or {}
  leaves = jax.tree.leaves(variables)
  return Estimate(
    parameters=sum(x.size for x in jax.tree.leaves(variables.params)),
    bytes=sum(x.size * x.dtype.itemsize for x in leaves),
    flops_per_example=float(analysis.get('flops', 0.0)),
  )


def measure(
  model: Model,
  variables: ModelVariables,
  batch: Mapping[str, jax.ShapeDtypeStruct],
  *,
  batch_size: int = 64,
  repeats: int = 10,
) -> Cost:
  """Compiles and times a model's forward pass on one device.

  Args:
    model: The model; runs in inference mode.
    variables: Its variables.
    batch: Shapes and dtypes of a batch of any size.
    batch_size: Number of examples per batch.
    repeats: Number of timed batches.
  """
  zeros = {
    name: jnp.zeros((batch_size, *x.shape[1:]), x.dtype)
    for name, x in batch.items()
  }
  forward = functools.partial(_forward, model)
  compiled = jax.jit(forward).lower(variables, zeros).compile()
  analysis = compiled.cost_analysis() or {}
  seconds = []
  jax.block_until_ready(compiled(variables, zeros))
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(compiled(variables, zeros))
    seconds.append(time.perf_counter() - start)
  return Cost(
    parameters=sum(x.size for x in jax.tree.leaves(variables.params)),
    bytes=sum(x.nbytes for x in jax.tree.leaves(variables)),
    flops_per_example=float(analysis.get('flops', 0.0)) / batch_size,
    seconds_per_example=statistics.median(seconds) / batch_size,
  )


def _forward(model, variables, batch):
  outputs, _ = model.apply(variables, batch)
  # Other outputs cost nothing where there are logits.
  return outputs.get('logits', outputs)
