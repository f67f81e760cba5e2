"""Arithmetic that the losses share: safe roots, Gram matrices, masks.

Arithmetic is done in float32 at least (`at_least_float32`), Gram matrices with
`precision=HIGHEST`: the default float32 product is TF32 on recent GPUs and
bfloat16 on TPUs, whose 8 to 11 bits do not survive the cancellation in
`|x|^2 + |y|^2 - 2 x.y`.
"""

import math

import chex
import jax
import jax.numpy as jnp


def at_least_float32(x: chex.Array) -> jax.Array:
  """Casts bfloat16 and float16 up; float32 and float64 stay as they are."""
  x = jnp.asarray(x)
  return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def safe_sqrt(x: chex.Array) -> jax.Array:
  """`sqrt(x)` with value and gradient 0 where `x <= 0`; NaN stays NaN."""
  # Not `x > 0`, which is false for NaN and would hide it.
  zero = x <= 0
  # Double where: the branch not taken must have a finite derivative too, for
  # 0 * inf in the backward pass is NaN.
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def safe_divide(numerator: chex.Array, denominator: chex.Array) -> jax.Array:
  """`numerator / denominator` with value and gradient 0 where it is x / 0."""
  nonzero = denominator != 0
  quotient = numerator / jnp.where(nonzero, denominator, 1)
  return jnp.where(nonzero, quotient, 0)


def flat(x: chex.Array) -> jax.Array:
  """Each example as a vector, `[batch, ...] -> [batch, size]`, batch 0 too."""
  return jnp.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


def valid_rows(x: chex.Array, mask: chex.Array | None) -> jax.Array:
  """The mask as booleans of shape `[batch]`; all true where it is None.

  Args:
    x: Array whose first axis is the batch.
    mask: None, or shape `[batch]`, boolean or numeric; zero marks padding.
  """
  if mask is None:
    return jnp.ones(x.shape[:1], bool)
  chex.assert_shape(mask, x.shape[:1])
  return jnp.asarray(mask).astype(bool)


def centred(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Rows minus the mean of the valid rows; padding rows become zero.

  Distances and angles do not change under translation, but the Gram form of
  them loses `|mean|^2 / |x - mean|^2` of its accuracy unless it is removed.

  Args:
    x: Embeddings, shape `[batch, dim]`.
    valid: Booleans, shape `[batch]`.
  """
  keep = valid[:, None]
  # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
  x = jnp.where(keep, x, 0)
  count = jnp.maximum(jnp.sum(valid), 1).astype(x.dtype)
  mean = jnp.sum(x, axis=0, keepdims=True) / count
  return jnp.where(keep, x - mean, 0)


def gram(x: chex.Array) -> jax.Array:
  """Inner products of all pairs of rows: `[batch, dim] -> [batch, batch]`."""
  return jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST)


def squared_distances(gram_matrix: chex.Array) -> jax.Array:
  """Squared Euclidean distances of all pairs, from a centred Gram matrix.

  What is below the rounding error of `|x|^2 + |y|^2 - 2 x.y` is exactly zero:
  equal rows have distance 0, not the square root of a rounding error, and no
  gradient (which would be that error divided by itself). The relative error of
  what is left is about `eps * (|x|^2 + |y|^2) / |x - y|^2`: in float32 1e-4 for
  rows whose distance is 3 % of their distance from the mean.

  Args:
    gram_matrix: Shape `[batch, batch]`.

  Returns:
    Shape `[batch, batch]`, nowhere negative, zero on the diagonal.
  """
  norms = jnp.diagonal(gram_matrix)
  scale = norms[:, None] + norms[None, :]
  squared = scale - 2 * gram_matrix
  # 16 ulp of the terms that cancel leave room for a matrix product that sums
  # the products of equal rows in different orders.
  rounding = 16 * jnp.finfo(squared.dtype).eps
  # In this form NaN is kept, so that a divergence shows.
  coincident = squared <= rounding * scale
  diagonal = jnp.eye(norms.shape[0], dtype=bool)
  return jnp.where(coincident | diagonal, 0, squared)
