"""Correlation congruence: the student keeps the teacher's correlations."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows


@contract.promises('scalar')
def correlation_congruence_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Products of the errors of neighbouring examples (CC, as its code has it).

  `mean_i sum_d |s_i - t_i|_d |s_{i+1} - t_{i+1}|_d` over the `batch - 1` pairs
  of neighbours. Couples the examples of the batch and depends on their order.

  This is the form in RepDistiller, from the authors' own code, and the one that
  benchmarks report; it has little in common with the paper's equations, for
  which see `kernel_correlation_congruence_loss`. It is bounded by the squared
  distance of the features, and zero already when every second example is
  matched. Time and memory `O(N D)`.

  >>> print(correlation_congruence_loss(jnp.zeros((2, 3)), jnp.ones((2, 3))))
  3.0

  Args:
    student: Embeddings, shape `[batch, dim]`.
    teacher: Same shape.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent: neighbours are neighbours among the other rows.

  Returns:
    A scalar, float32 at least; 0 for one example (NaN elsewhere).

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Peng et al., `Correlation Congruence for Knowledge Distillation
    <https://arxiv.org/abs/1904.01802>`_, 2019.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  error = jnp.abs(
    rows.flattened(student, valid) - rows.flattened(teacher, valid)
  )
  # Real rows first, in their order: the sort is stable. Padding is zero, and
  # so is its product with a neighbour.
  error = error[jnp.argsort(~valid, stable=True)]
  total = jnp.sum(error[:-1] * error[1:])
  return total / jnp.maximum(jnp.sum(valid) - 1, 1).astype(total.dtype)


@contract.promises('scalar', gamma=contract.POSITIVE, max_p=contract.COUNT)
def kernel_correlation_congruence_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  gamma: chex.Numeric = 0.4,
  max_p: int = 2,
  normalise: bool = True,
  squared: bool = True,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Squared difference of Gaussian kernel matrices (CC, as the paper has it).

  `1 / N**2 * |K(s) - K(t)|_F**2`, where `K(x)_ij` is the Taylor series of
  `exp(-gamma |x_i - x_j|**2)` for rows of length 1,
  `exp(-2 gamma) sum_{p=0}^{max_p} (2 gamma)**p / p! (x_i . x_j)**p`. Couples
  the examples of the batch.

  torchdistill neither normalises the rows, without which this is not a series
  of the Gaussian, nor squares the norm: `normalise=False, squared=False`.
  Time `O(N^2 (D + max_p))`, memory `O(N^2 + N D)`.

  >>> loss = kernel_correlation_congruence_loss(jnp.eye(2), jnp.ones((2, 2)))
  >>> print(f'{loss:.4f}')
  0.1266

  Args:
    student: Embeddings, shape `[batch, student_dim]`.
    teacher: Embeddings, shape `[batch, teacher_dim]`.
    gamma: Inverse width of the kernel. Above 0.
    max_p: Order of the series. At least 1.
    normalise: Give every row the length 1 first.
    squared: Square the Frobenius norm before it is divided by `N**2`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least. Invariant to permutation of the batch and to
    rotation of either set of embeddings.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Peng et al., `Correlation Congruence for Knowledge Distillation
    <https://arxiv.org/abs/1904.01802>`_, 2019, equations 6 and 11.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  x, y = rows.flattened(student, valid), rows.flattened(teacher, valid)
  if normalise:
    x, y = rows.unit(x), rows.unit(y)
  difference = _kernel_difference(x, y, gamma, max_p)
  # Padding rows are zero and have kernel exp(-2 gamma) with all others, the
  # student's as the teacher's: their difference is zero.
  if squared:
    total = jnp.sum(jnp.square(difference))
  else:
    total = rows.unit_and_norms(difference.reshape(1, -1))[1].squeeze()
  return total / rows.count(valid, total.dtype) ** 2


def _kernel_difference(
  x: chex.Array, y: chex.Array, gamma: chex.Numeric, max_p: int
) -> jax.Array:
  """Difference of the kernels' Taylor series, exactly zero where they agree."""
  a, b = numerics.gram(x), numerics.gram(y)
  # Horner's scheme for the series in b and, beside it, for the series in a less
  # that in b: their difference would lose the digits that they share.
  series, difference = jnp.ones_like(b), jnp.zeros_like(b)
  for p in range(max_p, 0, -1):
    factor = 2 * gamma / p
    difference = factor * (difference * a + series * (a - b))
    series = 1 + factor * series * b
  return difference * jnp.exp(jnp.asarray(-2 * gamma, b.dtype))
