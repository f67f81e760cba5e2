"""Ways to split a batch over devices, each with one device's result."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

DEVICES = 8
AXIS = 'batch'

# (value, params, batch) -> value and gradient by params; `value(params, batch,
# axis_name)` is the loss, and its batch is a tree of arrays `[examples, ...]`.
Idiom = Callable[[Callable, Any, Any], tuple[Any, Any]]


def one_device(value, params, batch):
  return jax.jit(jax.value_and_grad(lambda p, b: value(p, b, None)))(
    params, batch
  )


def pmap(value, params, batch):
  shards = jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), batch)
  mapped = jax.pmap(
    _averaged(value), axis_name=AXIS, in_axes=(None, 0), out_axes=None
  )
  return mapped(params, shards)


def shard_map(value, params, batch):
  """With JAX's defaults: it tracks what varies over the axis."""
  return _shard_map(value, params, batch, check_vma=True)


def untracked_shard_map(value, params, batch):
  return _shard_map(value, params, batch, check_vma=False)


def automatic_mesh(value, params, batch):
  return _on_mesh(value, params, batch, AxisType.Auto)


def explicit_mesh(value, params, batch):
  """The default of `jax.make_mesh`."""
  return _on_mesh(value, params, batch, AxisType.Explicit)


IDIOMS: dict[str, Idiom] = {
  'pmap': pmap,
  'shard_map': shard_map,
  'shard_map, check_vma=False': untracked_shard_map,
  'jit, automatic mesh': automatic_mesh,
  'jit, explicit mesh': explicit_mesh,
}


def _averaged(value):
  def run(params, batch):
    result = jax.value_and_grad(lambda p: value(p, batch, AXIS))(params)
    return jax.tree.map(lambda x: jax.lax.pmean(x, AXIS), result)

  return run


def _shard_map(value, params, batch, *, check_vma):
  mapped = jax.shard_map(
    _averaged(value),
    mesh=jax.make_mesh((DEVICES,), (AXIS,), axis_types=(AxisType.Auto,)),
    in_specs=(P(), P(AXIS)),
    out_specs=P(),
    check_vma=check_vma,
  )
  return jax.jit(mapped)(params, batch)


def _on_mesh(value, params, batch, kind):
  mesh = jax.make_mesh((DEVICES,), (AXIS,), axis_types=(kind,))

  def placed(tree, spec):
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(
      lambda x: jax.device_put(jnp.asarray(x), sharding), tree
    )

  step = jax.jit(jax.value_and_grad(lambda p, b: value(p, b, None)))
  with jax.set_mesh(mesh):
    return step(placed(params, P()), placed(batch, P(AXIS)))
