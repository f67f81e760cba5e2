"""Relational angles: the student keeps the angles of the teacher's triples."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import triples


@contract.promises('scalar')
def relational_angle_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Difference between the angles of all triples of examples (RKD-A).

  `mean_ijk huber(cos(s_i s_j s_k) - cos(t_i t_j t_k))` over all `batch**3`
  triples with vertex `j`, where `huber` is the smooth L1 loss with delta 1.
  Triples in which the vertex coincides with another corner count as cosine 0.
  Couples the examples of the batch.

  The cosines come from the centred Gram matrix `G`,
  `(G_ik - G_ij - G_jk + G_jj) / (d_ij d_jk)`, tile by tile, value and gradient
  in one pass: time `O(N^3 + N^2 D)`, memory `O(N^2 + N D)`; from 32 examples
  up less than `64 N^2 + 8 N D` bytes in float32 on CPU. (The usual form holds
  an `N x N x D` tensor of unit differences and `N^3` angles.) Differentiable in
  reverse mode only.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> teacher = jnp.array([[0.0], [1.0], [2.0]])
  >>> print(f'{relational_angle_loss(student, teacher):.4f}')
  0.1296

  Args:
    student: Embeddings, shape `[batch, student_dim]`.
    teacher: Embeddings, shape `[batch, teacher_dim]`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to rotation,
    translation and scale of either set of embeddings. The Gram form loses
    accuracy where distances are small beside the embeddings' spread: in
    float32, below about 3 % of it; below 0.14 % rows count as coincident.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Park et al., `Relational Knowledge Distillation
    <https://arxiv.org/abs/1904.05068>`_, 2019, equations 9 to 12.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  total = triples.angle_differences(
    _angles(student, valid), _angles(teacher, valid)
  )
  count = jnp.maximum(jnp.sum(valid), 1).astype(total.dtype)
  return total / count**3


def _angles(x: chex.Array, valid: chex.Array) -> triples.Angles:
  """Centred Gram matrix, and 1 / distance; 0 for coincident rows, padding."""
  x = numerics.centred(numerics.at_least_float32(x), valid)
  gram = numerics.gram(x)
  distances = numerics.safe_sqrt(numerics.squared_distances(gram))
  pairs = valid[:, None] & valid[None, :]
  inverse = numerics.safe_divide(jnp.ones_like(distances), distances)
  return triples.Angles(gram, jnp.where(pairs, inverse, 0))
