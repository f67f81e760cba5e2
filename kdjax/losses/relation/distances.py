"""Relational distances: the student keeps the teacher's pairwise distances."""

import chex
import jax
import jax.numpy as jnp
import optax

from kdjax.losses import contract, numerics

# Squared distances below this count as this, as in the authors' code, where it
# keeps the root differentiable. Coincident rows are 1e-6 apart, not 0.
_SMALLEST_SQUARED_DISTANCE = 1e-12


@contract.promises('scalar')
def relational_distance_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Difference between normalised pairwise distances (RKD-D).

  `mean_ij huber(d(s_i, s_j) / mu_s - d(t_i, t_j) / mu_t)` over all `batch**2`
  pairs, the diagonal included as zeros, where `mu` is the mean distance of
  distinct pairs (the gradient flows through the student's) and `huber` is the
  smooth L1 loss with delta 1. Couples the examples of the batch.

  Time `O(N^2 D)`, memory `O(N^2 + N D)`.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> teacher = jnp.array([[0.0], [1.0], [2.0]])
  >>> print(f'{relational_distance_loss(student, teacher):.4f}')
  0.0717

  Args:
    student: Embeddings, shape `[batch, student_dim]`.
    teacher: Embeddings, shape `[batch, teacher_dim]`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to rotation,
    translation and scale of either set of embeddings (scale as long as the
    distances are well above 1e-6, which coincident rows count as). The Gram
    form loses accuracy where distances are small beside the embeddings' spread:
    in float32, below about 3 % of it; below 0.14 % rows count as coincident.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Park et al., `Relational Knowledge Distillation
    <https://arxiv.org/abs/1904.05068>`_, 2019, equations 5 to 8.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  pairs = valid[:, None] & valid[None, :]
  difference = optax.losses.huber_loss(
    _normalised_distances(student, valid),
    _normalised_distances(teacher, valid),
  )
  count = jnp.maximum(jnp.sum(pairs), 1).astype(difference.dtype)
  return jnp.sum(jnp.where(pairs, difference, 0)) / count


def _normalised_distances(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Distances of all pairs over their mean; 0 on the diagonal and padding."""
  x = numerics.centred(numerics.at_least_float32(x), valid)
  squared = numerics.squared_distances(numerics.gram(x))
  pairs = valid[:, None] & valid[None, :] & ~jnp.eye(x.shape[0], dtype=bool)
  distances = jnp.sqrt(jnp.maximum(squared, _SMALLEST_SQUARED_DISTANCE))
  distances = jnp.where(pairs, distances, 0)
  count = jnp.maximum(jnp.sum(pairs), 1).astype(x.dtype)
  return numerics.safe_divide(distances, jnp.sum(distances) / count)
