"""Where arrays lie: the mesh and the mapped axes that a loss is called on.

A loss is plain arithmetic on whole arrays. Two kinds of JAX programs ask more
of it. On a mesh with explicit axes every product of matrices must say how its
result is sharded; here the compiler decides, as on a mesh with automatic axes.
Inside `jax.shard_map` with `check_vma` every array carries the axes it varies
over, and what starts constant in a loop must be cast before it meets data.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec


def varying_axes(tree: Any) -> tuple[str, ...]:
  """The mapped axes that any leaf varies over, as far as JAX tracks them."""
  axes: set[str] = set()
  for leaf in jax.tree.leaves(tree):
    axes |= _varying(leaf)
  return tuple(sorted(axes))


def varying_like(tree: Any, *others: Any) -> Any:
  """`tree`, cast to vary over every axis that it or `others` vary over.

  Where nothing is tracked (outside of `shard_map`, under `pmap` and with
  `check_vma=False`) it is returned as it is.
  """
  axes = varying_axes((tree, others))
  if not axes:
    return tree

  def cast(leaf):
    missing = tuple(axis for axis in axes if axis not in _varying(leaf))
    return jax.lax.pcast(leaf, missing, to='varying') if missing else leaf

  return jax.tree.map(cast, tree)


def mesh_size(tree: Any) -> int:
  """Over how many devices automatic axes may split the arrays; 1 for none."""
  for leaf in jax.tree.leaves(tree):
    mesh = _mesh(leaf)
    if mesh is not None and AxisType.Auto in mesh.axis_types:
      kinds = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
      size = 1
      for length, kind in kinds:
        size *= length if kind is AxisType.Auto else 1
      return size
  return 1


def on_automatic_axes(
  function: Callable, arguments: Any, spec_of: Callable[[Any], PartitionSpec]
) -> Any:
  """`function(arguments)`, with the compiler in charge of explicit mesh axes.

  Args:
    function: Takes the one pytree `arguments`.
    arguments: A pytree of arrays.
    spec_of: From the leading leaf, the first that is on an explicit mesh, to
      how the result is sharded.

  Returns:
    What `function` returns.
  """
  leading = next(
    (leaf for leaf in jax.tree.leaves(arguments) if _explicit(leaf)), None
  )
  if leading is None:
    return function(arguments)
  automatic = jax.sharding.auto_axes(
    function, axes=_explicit(leading), out_sharding=spec_of(leading)
  )
  if not jax.sharding.get_abstract_mesh().empty:
    return automatic(arguments)

  # Without `jax.set_mesh` only the arrays know the mesh, and only a compiled
  # function takes its devices from them.
  @jax.jit
  def on_mesh(arguments):
    with jax.sharding.use_abstract_mesh(_mesh(leading)):
      return automatic(arguments)

  return on_mesh(arguments)


def with_arrays(
  function: Callable,
  arguments: Any,
  spec_of: Callable[[Any], PartitionSpec],
  *,
  aligned: bool,
) -> Any:
  """`on_automatic_axes` for arguments that are not all arrays.

  Args:
    function: Takes the one pytree `arguments`.
    arguments: A pytree of arrays and of what is no array, which stays as it is.
    spec_of: See `on_automatic_axes`.
    aligned: Whether all arrays are cast to vary over the same axes.
  """
  leaves, tree = jax.tree.flatten(arguments)
  places = [i for i, leaf in enumerate(leaves) if is_array(leaf)]

  def on_arrays(arrays):
    filled = list(leaves)
    for place, array in zip(places, arrays, strict=True):
      filled[place] = array
    return function(jax.tree.unflatten(tree, filled))

  arrays = [jnp.asarray(leaves[place]) for place in places]
  arrays = varying_like(arrays) if aligned else arrays
  return on_automatic_axes(on_arrays, arrays, spec_of)


def is_array(x: Any) -> bool:
  """Whether it is an array of JAX, traced or not, or of NumPy."""
  return isinstance(x, jax.Array | np.ndarray)


def leading_spec(leaf: Any, rank: int) -> PartitionSpec:
  """How the first `rank` axes of a leaf are sharded."""
  return PartitionSpec(*tuple(jax.typeof(leaf).sharding.spec)[:rank])


def _varying(leaf: Any) -> frozenset[str]:
  kind = getattr(jax.typeof(leaf), 'manual_axis_type', None)
  return frozenset() if kind is None else kind.varying


def _mesh(leaf: Any) -> Any:
  """The mesh a leaf lies on, or None."""
  sharding = getattr(jax.typeof(leaf), 'sharding', None)
  mesh = getattr(sharding, 'mesh', None)
  return None if mesh is None or mesh.empty else mesh


def _explicit(leaf: Any) -> tuple[str, ...]:
  """Names of the explicit axes of the mesh a leaf lies on."""
  mesh = _mesh(leaf)
  if mesh is None:
    return ()
  named = zip(mesh.axis_names, mesh.axis_types, strict=True)
  return tuple(name for name, kind in named if kind is AxisType.Explicit)
