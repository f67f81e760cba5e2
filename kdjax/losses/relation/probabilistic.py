"""Probabilistic transfer: who is a probable neighbour of whom."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows

# The authors add this to lengths and to probabilities. It bounds the logarithm
# where two examples of the student are opposite, and it shows in the value.
_EPSILON = 1e-7


@contract.promises('scalar')
def probabilistic_transfer_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the conditional probabilities of neighbours (PKT).

  `1 / N**2 * sum_ij p_ij log(p_ij / q_ij)`, where `p_ij` of the teacher and
  `q_ij` of the student are `(1 + cos(x_i, x_j)) / 2` over their sum over `j`.
  Couples the examples of the batch.

  As the authors' code has it, whose usual weight of 30000 belongs to the mean
  over all pairs: the paper sums over the pairs and leaves `j = i` out. Lengths
  and probabilities have 1e-7 added. Zero rows have cosine 0 with all. Time
  `O(N^2 D)`, memory `O(N^2 + N D)`. Differentiable in reverse mode only.

  >>> print(f'{probabilistic_transfer_loss(jnp.eye(2), jnp.ones((2, 2))):.4f}')
  0.0294

  Args:
    student: Embeddings, shape `[batch, student_dim]`.
    teacher: Embeddings, shape `[batch, teacher_dim]`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch and to rotation of either set of embeddings, and but for the
    1e-7 to their scale.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Passalis and Tefas, `Learning Deep Representations with Probabilistic
    Knowledge Transfer <https://arxiv.org/abs/1803.10837>`_, 2018,
    equations 4 to 6.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  (x, x_norms), (y, y_norms) = (
    rows.unit_and_norms(rows.flattened(z, valid)) for z in (student, teacher)
  )
  x_shrink, y_shrink = (_EPSILON / (n + _EPSILON) for n in (x_norms, y_norms))
  total = _divergence(x, y, x_shrink, y_shrink, valid)
  return total / rows.count(valid, total.dtype) ** 2


@jax.custom_vjp
def _divergence(
  x: chex.Array,
  y: chex.Array,
  x_shrink: chex.Array,
  y_shrink: chex.Array,
  valid: chex.Array,
) -> jax.Array:
  """`sum_ij p_ij log(p_ij / q_ij)`, `q` of the rows `x` and `p` of `y`.

  Args:
    x: Of length 1, or 0.
    y: Likewise.
    x_shrink: What the epsilon takes from lengths, as a share, `[batch, 1]`.
    y_shrink: Likewise.
    valid: Booleans, `[batch]`.
  """
  return _divergence_forward(x, y, x_shrink, y_shrink, valid)[0]


def _divergence_forward(x, y, x_shrink, y_shrink, valid):
  grams = numerics.gram(x), numerics.gram(y)
  shrinks = x_shrink, y_shrink
  pairs = valid[:, None] & valid[None, :]
  similar = [_similarity(*z, pairs) for z in zip(grams, shrinks, strict=True)]
  inverse = tuple(
    numerics.safe_divide(1.0, jnp.sum(s, axis=1, keepdims=True))
    for s in similar
  )
  q, p = (s * i for s, i in zip(similar, inverse, strict=True))
  # On CPU the sum of a matrix takes longer, and memory, than this product.
  total = jnp.sum(
    jnp.matmul(
      p * _log_ratio(p, q),
      jnp.ones(len(p), p.dtype),
      precision=jax.lax.Precision.HIGHEST,
    )
  )
  return total, (x, y, grams, shrinks, inverse, pairs)


def _divergence_backward(residuals, cotangent):
  x, y, grams, shrinks, inverse, pairs = residuals
  a, b = (_similarity(*z, pairs) for z in zip(grams, shrinks, strict=True))

  def by_q(q, p):
    return -p / (q + _EPSILON)

  def by_p(p, q):
    return _log_ratio(p, q) + p / (p + _EPSILON)

  by_a = _slopes(by_q, a, b, *inverse)
  by_b = _slopes(by_p, b, a, *inverse[::-1])
  gradients = []
  for rows_, gram, shrink, slopes in zip(
    (x, y), grams, shrinks, (by_a, by_b), strict=True
  ):
    slopes = jnp.where(pairs, cotangent * slopes / 2, 0)
    keep = 1 - _joint(shrink)
    by_gram = jnp.where(1 + gram > _rounding(gram), slopes * keep, 0)
    cosine = _one_plus(gram) - 1
    by_shrink = -jnp.sum(
      slopes * cosine * (1 - shrink.T), axis=1, keepdims=True
    )
    by_rows = jnp.matmul(by_gram, rows_, precision=jax.lax.Precision.HIGHEST)
    gradients.append((by_rows, by_shrink))
  (by_x, by_x_shrink), (by_y, by_y_shrink) = gradients
  return by_x, by_y, by_x_shrink, by_y_shrink, None


_divergence.defvjp(_divergence_forward, _divergence_backward)


def _log_ratio(p: chex.Array, q: chex.Array) -> jax.Array:
  return jnp.log((p + _EPSILON) / (q + _EPSILON))


def _slopes(
  by_share: Callable,
  own: chex.Array,
  other: chex.Array,
  own_inverse: chex.Array,
  other_inverse: chex.Array,
) -> jax.Array:
  """Derivative by a matrix of similarities, plus its transpose.

  Similarities are symmetric, so the transpose is the same expression of the
  sums of the columns' rows: no matrix is transposed, and one product with the
  rows takes the place of two.

  Args:
    by_share: Derivative of an entry of the divergence by what `own` is, as a
      share of its row, given both shares.
    own: Similarities, `[batch, batch]`.
    other: Those of the other network.
    own_inverse: One over the sums of the rows of `own`, `[batch, 1]`.
    other_inverse: Likewise of `other`.
  """
  share = own * own_inverse
  mean = jnp.sum(
    by_share(share, other * other_inverse) * share, axis=1, keepdims=True
  )

  def by_row(own_inverse, other_inverse, mean):
    derivative = by_share(own * own_inverse, other * other_inverse)
    return (derivative - mean) * own_inverse

  return by_row(own_inverse, other_inverse, mean) + by_row(
    own_inverse.T, other_inverse.T, mean.T
  )


def _similarity(
  gram: chex.Array, shrink: chex.Array, pairs: chex.Array
) -> jax.Array:
  """`(1 + cosine) / 2`, 0 where either is padding."""
  one_plus = _one_plus(gram)
  similarity = (one_plus - (one_plus - 1) * _joint(shrink)) / 2
  return jnp.where(pairs, similarity, 0)


def _one_plus(gram: chex.Array) -> jax.Array:
  # 1 + cosine of opposite rows is a rounding error, which the logarithm would
  # show: it is zero, and what the epsilon adds to it is added exactly.
  one_plus = 1 + gram
  return jnp.where(one_plus > _rounding(gram), one_plus, 0)


def _rounding(gram: chex.Array) -> float:
  return 16 * float(jnp.finfo(gram.dtype).eps)


def _joint(shrink: chex.Array) -> jax.Array:
  """The share by which the epsilon lowers the cosine of a pair."""
  return shrink + shrink.T - shrink * shrink.T
