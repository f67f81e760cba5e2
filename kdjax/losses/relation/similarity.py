"""Similarity preserving: alike for the teacher, alike for the student."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows


@contract.promises('scalar')
def similarity_preserving_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Squared difference of row-normalised similarity matrices (SP).

  `1 / N**2 * |G_s - G_t|_F**2`, where `G` is the matrix of inner products of
  the flattened features, each row of it over its length. Couples the examples
  of the batch.

  Paper and codes agree. Rows of similarities shorter than 1e-12 are left as
  they are in PyTorch's `normalize`; here every row but a zero one is
  normalised. Time `O(N^2 D)`, memory `O(N^2 + N D)`. Differentiable in reverse
  mode only.

  >>> print(f'{similarity_preserving_loss(jnp.eye(2), jnp.ones((2, 2))):.4f}')
  0.2929

  Args:
    student: Features, shape `[batch, ...]`.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch, and to rotation and scale of either set of features.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Tung and Mori, `Similarity-Preserving Knowledge Distillation
    <https://arxiv.org/abs/1907.09682>`_, 2019, equations 2 to 4.
  """
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  x, y = (rows.scaled(rows.flattened(x, valid)) for x in (student, teacher))
  total = _squared_difference(x, y)
  return total / rows.count(valid, total.dtype) ** 2


@jax.custom_vjp
def _squared_difference(x: chex.Array, y: chex.Array) -> jax.Array:
  """The summed squared difference of two row-normalised Gram matrices."""
  return _squared_difference_forward(x, y)[0]


def _squared_difference_forward(x, y):
  grams = numerics.gram(x), numerics.gram(y)
  inverse = tuple(map(_inverse_row_norms, grams))
  own, other = (g * i for g, i in zip(grams, inverse, strict=True))
  return jnp.sum(jnp.square(own - other)), (x, y, grams, inverse)


def _squared_difference_backward(residuals, cotangent):
  x, y, grams, inverse = residuals
  own = _slopes(*grams, *inverse)
  other = _slopes(*grams[::-1], *inverse[::-1])
  return tuple(
    jnp.matmul(cotangent * s, z, precision=jax.lax.Precision.HIGHEST)
    for s, z in ((own, x), (other, y))
  )


_squared_difference.defvjp(
  _squared_difference_forward, _squared_difference_backward
)


def _slopes(
  own: chex.Array,
  other: chex.Array,
  own_inverse: chex.Array,
  other_inverse: chex.Array,
) -> jax.Array:
  """Derivative by a Gram matrix, plus its transpose.

  Gram matrices are symmetric, so the transpose is the same expression of the
  lengths of the columns' rows: no matrix is transposed, and one product with
  the rows takes the place of two.
  """
  unit = own * own_inverse
  # The difference along a row does not change the loss.
  along = jnp.sum((unit - other * other_inverse) * unit, axis=1, keepdims=True)

  def by_row(own_inverse, other_inverse, along):
    unit = own * own_inverse
    return 2 * (unit - other * other_inverse - along * unit) * own_inverse

  return by_row(own_inverse, other_inverse, along) + by_row(
    own_inverse.T, other_inverse.T, along.T
  )


def _inverse_row_norms(x: chex.Array) -> jax.Array:
  """One over the length of each row, `[batch, 1]`; 0 for rows of zeros."""
  norms = rows.unit_and_norms(x)[1]
  return numerics.safe_divide(jnp.ones_like(norms), norms)
