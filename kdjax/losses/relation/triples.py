"""Sums over all triples of examples, in tiles that stay in the cache.

Value and gradient come out of one pass: `N^3` cosines are computed, used and
forgotten, and nothing is left to compute again in a backward pass.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from kdjax.losses import placement

# Vertices and corners handled at a time on CPU: what a tile holds stays in the
# second-level cache. At 128 to 512 examples tiles of 128 corners take up to
# twice as long, blocks of one vertex two to six times.
_BLOCK, _TILE = 4, 64


class Angles(NamedTuple):
  """The parts from which the cosines of embeddings follow.

  Attributes:
    gram: Inner products of all pairs, shape `[batch, batch]`.
    inverse: `1 / distance` of all pairs, 0 for those that make no angle.
  """

  gram: jax.Array
  inverse: jax.Array


@jax.custom_vjp
def angle_differences(student: Angles, teacher: Angles) -> jax.Array:
  """Sum over all triples of the smooth L1 loss of two cosines.

  `sum_ijk huber(c_ijk - c'_ijk)` with vertex `j`, delta 1 and
  `c_ijk = (g_ik - g_ij - g_jk + g_jj) r_ij r_kj`. Time `O(N^3)`, memory
  `O(N^2)`. Differentiable in reverse mode; what is not asked for is not
  computed.
  """
  return _pass(student, teacher, slopes=False)[0]


def _forward(student: Angles, teacher: Angles):
  sides: Any = (student, teacher)  # of jax.custom_derivatives.CustomVJPPrimal
  values = tuple(Angles(x.gram.value, x.inverse.value) for x in sides)
  wanted = tuple(x.gram.perturbed or x.inverse.perturbed for x in sides)
  gradients: list[Angles | None] = [None, None]
  total = None
  # The loss is even in the difference, so the teacher's gradient is that of
  # the student with the two exchanged.
  for i in (0, 1):
    if wanted[i]:
      total, gradients[i] = _pass(values[i], values[1 - i], slopes=True)
  if total is None:
    total, _ = _pass(*values, slopes=False)
  return total, tuple(gradients)


def _backward(gradients, slope):
  return tuple(
    gradient and Angles(slope * gradient.gram, slope * gradient.inverse)
    for gradient in gradients
  )


angle_differences.defvjp(_forward, _backward, symbolic_zeros=True)


class _Sums(NamedTuple):
  """The sum over the triples, with `w` the slope of the loss.

  Attributes:
    total: The loss.
    corners: `sum_j w r_ij r_kj` of corners i and k.
    arms: `sum_k w r_ij r_kj` of vertex j and corner i, shape `[j, i]`.
    cosines: `sum_k w c_ijk`, likewise.
  """

  total: jax.Array
  corners: jax.Array
  arms: jax.Array
  cosines: jax.Array


def _pass(
  student: Angles, teacher: Angles, *, slopes: bool
) -> tuple[jax.Array, Angles | None]:
  """The sum, and its gradient with respect to the student's if wanted."""
  batch = student.gram.shape[0]
  block, tile = _tiling(batch)
  size = -(-batch // tile) * tile
  nets = tuple(_padded(x, size - batch) for x in (student, teacher))
  # Corners i and k change places without changing the cosine: half the tiles.
  pairs = jnp.asarray(np.argwhere(np.triu(np.ones((size // tile,) * 2))))

  def add_tile(number, sums):
    corner, other = pairs[number] * tile
    return _add_tile(nets, sums, corner, other, block, tile, slopes)

  dtype = nets[0].gram.dtype
  empty = jnp.zeros((size, size) if slopes else (0, 0), dtype)
  start = _Sums(jnp.zeros((), dtype), empty, empty, empty)
  start = placement.varying_like(start, nets)
  sums = jax.lax.fori_loop(0, len(pairs), add_tile, start)
  if not slopes:
    return sums.total, None
  lower = jnp.arange(size)[:, None] // tile > jnp.arange(size)[None, :] // tile
  corners = jnp.where(lower, sums.corners.T, sums.corners)
  return sums.total, _gradient(
    student, *(x[:batch, :batch] for x in (corners, sums.arms, sums.cosines))
  )


def _tiling(batch: int) -> tuple[int, int]:
  """How many vertices and corners are handled at a time."""
  if jax.default_backend() != 'cpu':
    # Many small steps would wait for their start: one tile. Not measured.
    return 2, -(-batch // 2) * 2
  # Tiles are equal, and a small batch has several: one tile would be most of
  # the memory: it stays below 64 N^2 bytes.
  count = max(-(-batch // _TILE), 2)
  block = _BLOCK if batch >= 2 * _TILE else 2
  return block, -(-batch // (block * count)) * block


class _Padded(NamedTuple):
  """Angles with rows that add nothing, and `g_ji - g_jj / 2` as `arm`."""

  gram: jax.Array
  inverse: jax.Array
  arm: jax.Array


def _padded(angles: Angles, rows: int) -> _Padded:
  arm = angles.gram - 0.5 * jnp.diagonal(angles.gram)[:, None]
  # With an inverse distance of 0 a cosine is 0 in both networks.
  return _Padded(*(jnp.pad(x, ((0, rows), (0, rows))) for x in (*angles, arm)))


def _add_tile(
  nets: tuple[_Padded, ...],
  sums: _Sums,
  corner: chex.Numeric,
  other: chex.Numeric,
  block: int,
  tile: int,
  slopes: bool,
) -> _Sums:
  """Adds the triples of one tile of corner pairs, over all vertices."""
  # Off the diagonal a tile stands for its mirror image too.
  twice = jnp.where(corner == other, 1, 2).astype(sums.total.dtype)
  grams = [
    jax.lax.dynamic_slice(x.gram, (corner, other), (tile, tile)) for x in nets
  ]

  def add_block(number, carry):
    values, corners, arms, cosines = carry
    vertex = number * block
    (ours, arm_products), (theirs, _) = (
      _cosines(net, gram, vertex, corner, other, block)
      for net, gram in zip(nets, grams, strict=True)
    )
    difference = ours - theirs
    slope = jnp.clip(difference, -1, 1)
    values += _row_sums(slope * (difference - 0.5 * slope))
    if slopes:
      places = (vertex, corner), (vertex, other)
      products = slope * arm_products
      corners += jnp.sum(products, axis=0)
      arms = _add_margins(arms, products, places, twice / 2)
      cosines = _add_margins(cosines, slope * ours, places, twice / 2)
    return values, corners, arms, cosines

  zeros = jnp.zeros((tile, tile), sums.total.dtype)
  none = jnp.zeros((block, tile), sums.total.dtype)
  zeros, none = placement.varying_like((zeros, none), sums)
  values, corners, arms, cosines = jax.lax.fori_loop(
    0,
    nets[0].gram.shape[0] // block,
    add_block,
    (none, zeros, sums.arms, sums.cosines),
  )
  total = sums.total + twice * jnp.sum(values)
  if slopes:
    corners = jax.lax.dynamic_update_slice(
      sums.corners, corners, (corner, other)
    )
  else:
    corners = sums.corners
  return _Sums(total, corners, arms, cosines)


def _cosines(
  net: _Padded,
  gram: jax.Array,
  vertex: chex.Numeric,
  corner: chex.Numeric,
  other: chex.Numeric,
  block: int,
) -> tuple[jax.Array, jax.Array]:
  """Cosines `[block, tile, tile]` and the products of inverse distances."""

  def sliced(x, place):
    return jax.lax.dynamic_slice(x, (vertex, place), (block, gram.shape[0]))

  places = corner, other
  arms = [sliced(net.arm, place) for place in places]
  inverse = [sliced(net.inverse, place) for place in places]
  products = inverse[0][:, :, None] * inverse[1][:, None, :]
  cosines = gram[None] - arms[0][:, :, None] - arms[1][:, None, :]
  return cosines * products, products


def _row_sums(x: jax.Array) -> jax.Array:
  """`sum(axis=-1)`, as a product: XLA:CPU takes those numbers one by one."""
  ones = jnp.ones((x.shape[-1], 1), x.dtype)
  rows = jnp.matmul(
    x.reshape(-1, x.shape[-1]), ones, precision=jax.lax.Precision.HIGHEST
  )
  return rows.reshape(x.shape[:-1])


def _add_margins(
  sums: jax.Array, x: jax.Array, places: tuple, weight: jax.Array
) -> jax.Array:
  """Adds the sums of `[block, tile, tile]` along either side of the tile."""
  rows = _row_sums(x)
  for place, margin in zip(places, (rows, jnp.sum(x, axis=1)), strict=True):
    old = jax.lax.dynamic_slice(sums, place, margin.shape)
    sums = jax.lax.dynamic_update_slice(sums, old + weight * margin, place)
  return sums


def _gradient(
  student: Angles, corners: jax.Array, arms: jax.Array, cosines: jax.Array
) -> Angles:
  """From the sums over triples to the gradient of gram and inverse."""
  gram = corners - arms - arms.T
  gram += jnp.diag(jnp.sum(arms, axis=1))
  some = student.inverse > 0
  # A cosine is linear in either of its inverse distances.
  inverse = 2 * cosines / jnp.where(some, student.inverse, 1)
  return Angles(gram, jnp.where(some, inverse, 0))
