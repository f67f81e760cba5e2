"""Centred kernel alignment: how alike two representations are."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import medians, rows


@contract.promises('scalar')
def linear_cka(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Centred kernel alignment of two representations, linear kernel.

  `|Y^T X|_F**2 / (|X^T X|_F |Y^T Y|_F)` for centred features `X` and `Y`. It
  is computed so, or from the Gram matrices, to which it is equal, whichever
  are smaller: time `O(N D^2)` or `O(N^2 D)`, memory `O(min(D^2, N^2) + N D)`.
  Differentiable in reverse mode only. Couples the examples of the batch.

  This is the estimator of the paper, which is biased: with fewer examples than
  features it nears 1 for unrelated representations. Compare its values only
  for equal numbers of examples.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> print(f'{linear_cka(student, student[:, :1]):.4f}')
  0.7906

  Args:
    student: Features, shape `[batch, ...]`; flattened here.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar from 0 to 1, float32 at least; 0 if all examples are the same to
    the student or to the teacher (0 / 0 elsewhere), as one example is.
    Invariant to permutation of the batch and to rotation, translation and
    scale of either set of features.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Kornblith et al., `Similarity of Neural Network Representations Revisited
    <https://arxiv.org/abs/1905.00414>`_, 2019, table 1 and equation 4.
  """
  return _alignment(*_linear_terms(student, teacher, mask))


@contract.promises('scalar')
def linear_cka_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """One minus `linear_cka`, to be minimised.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> print(f'{linear_cka_loss(student, student[:, :1]):.4f}')
  0.2094

  Args:
    student: Features, shape `[batch, ...]`; flattened here.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar from 0 to 1, float32 at least. 0 if all examples are the same to
    the teacher, which leaves nothing to learn; else 1 if they are to the
    student. Couples the examples of the batch.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Kornblith et al., `Similarity of Neural Network Representations Revisited
    <https://arxiv.org/abs/1905.00414>`_, 2019, table 1 and equation 4.
  """
  return _one_minus(*_linear_terms(student, teacher, mask))


@contract.promises('scalar', bandwidth=contract.POSITIVE)
def rbf_cka(
  student: chex.Array,
  teacher: chex.Array,
  *,
  bandwidth: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Centred kernel alignment of two representations, Gaussian kernel.

  `<K, L>_F / (|K|_F |L|_F)` for centred kernel matrices `K` and `L` with
  entries `exp(-|x_i - x_j|**2 / (2 bandwidth**2 m))`, where `m` is the median
  of the squared distances of all `N**2` pairs, the diagonal included, as in the
  authors' code (the paper says a fraction of the median distance). The
  gradient flows through the median, which keeps the measure free of scale;
  taking the median for a constant would give another gradient. Where the
  median is 0 only coincident examples are alike. Couples the examples of the
  batch. Time `O(N^2 D)` and 31 counts of `N^2` numbers for the median, memory
  `O(N^2 + N D)`.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> teacher = jnp.array([[0.0], [1.0], [2.0]])
  >>> print(f'{rbf_cka(student, teacher):.4f}')
  0.7442

  Args:
    student: Features, shape `[batch, ...]`; flattened here.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    bandwidth: Width of the kernel as a fraction of the median. Above 0.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar from 0 to 1, float32 at least; 0 if all examples are the same to
    the student or to the teacher, as one example is. Invariant to permutation
    of the batch and to rotation, translation and scale of either set.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Kornblith et al., `Similarity of Neural Network Representations Revisited
    <https://arxiv.org/abs/1905.00414>`_, 2019, equations 3 and 4.
  """
  return _alignment(*_rbf_terms(student, teacher, bandwidth, mask))


@contract.promises('scalar', bandwidth=contract.POSITIVE)
def rbf_cka_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  bandwidth: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """One minus `rbf_cka`, to be minimised.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> teacher = jnp.array([[0.0], [1.0], [2.0]])
  >>> print(f'{rbf_cka_loss(student, teacher):.4f}')
  0.2558

  Args:
    student: Features, shape `[batch, ...]`; flattened here.
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    bandwidth: Width of the kernel as a fraction of the median. Above 0.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar from 0 to 1, float32 at least. 0 if all examples are the same to
    the teacher, which leaves nothing to learn; else 1 if they are to the
    student. Couples the examples of the batch.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Kornblith et al., `Similarity of Neural Network Representations Revisited
    <https://arxiv.org/abs/1905.00414>`_, 2019, equations 3 and 4.
  """
  return _one_minus(*_rbf_terms(student, teacher, bandwidth, mask))


def _alignment(
  product: chex.Array, student_norm: chex.Array, teacher_norm: chex.Array
) -> jax.Array:
  quotient = numerics.safe_divide(product, student_norm * teacher_norm)
  return jnp.clip(quotient, 0, 1)  # Rounding may exceed it.


def _one_minus(
  product: chex.Array, student_norm: chex.Array, teacher_norm: chex.Array
) -> jax.Array:
  loss = 1 - _alignment(product, student_norm, teacher_norm)
  # Not `teacher_norm > 0`, which is false for NaN and would hide it.
  return jnp.where(teacher_norm <= 0, 0, loss)


def _linear_terms(
  student: chex.Array, teacher: chex.Array, mask: chex.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Inner product and norms of the linear kernels, or what is equal to them."""
  x, y, _ = _prepared(student, teacher, mask)
  (examples, x_dim), y_dim = x.shape, y.shape[1]
  if 2 * examples**2 <= x_dim**2 + x_dim * y_dim + y_dim**2:
    k_x, k_y = numerics.gram(x), numerics.gram(y)
    return jnp.sum(k_x * k_y), _norm(k_x), _norm(k_y)
  cross = jnp.matmul(x.T, y, precision=jax.lax.Precision.HIGHEST)
  return jnp.sum(jnp.square(cross)), _norm(_products(x)), _norm(_products(y))


@jax.custom_vjp
def _products(x: chex.Array) -> jax.Array:
  """`x^T x`, for what is as derivable by an entry as by its mirror image.

  The derivative by `x` is one product of matrices then, not two of which one
  must be transposed.
  """
  return jnp.matmul(x.T, x, precision=jax.lax.Precision.HIGHEST)


def _products_forward(x):
  return _products(x), x


def _products_backward(x, cotangent):
  return (_twice_times(x, cotangent),)


_products.defvjp(_products_forward, _products_backward)


@jax.custom_vjp
def _twice_times(x: chex.Array, symmetric: chex.Array) -> jax.Array:
  """`2 x s`, which stands for `x (s + s^T)` in second derivatives too."""
  return 2 * jnp.matmul(x, symmetric, precision=jax.lax.Precision.HIGHEST)


def _twice_times_forward(x, symmetric):
  return _twice_times(x, symmetric), (x, symmetric)


def _twice_times_backward(residuals, cotangent):
  x, symmetric = residuals
  product = jnp.matmul(x.T, cotangent, precision=jax.lax.Precision.HIGHEST)
  return _twice_times(cotangent, symmetric), product + product.T


_twice_times.defvjp(_twice_times_forward, _twice_times_backward)


def _rbf_terms(
  student: chex.Array,
  teacher: chex.Array,
  bandwidth: chex.Numeric,
  mask: chex.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Inner product and norms of the centred Gaussian kernels."""
  x, y, valid = _prepared(student, teacher, mask)
  k_x = _centred_kernel(x, valid, bandwidth)
  k_y = _centred_kernel(y, valid, bandwidth)
  return jnp.sum(k_x * k_y), _norm(k_x), _norm(k_y)


def _prepared(
  student: chex.Array, teacher: chex.Array, mask: chex.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Checks; both sets of features centred and of size 1; the valid rows."""
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  return _centred(student, valid), _centred(teacher, valid), valid


def _centred(x: chex.Array, valid: chex.Array) -> jax.Array:
  x = rows.flattened(x, valid)
  # Less one of the rows first: the mean of equal rows is only nearly equal to
  # them, and the alignment of that rounding error could be anything.
  x = numerics.centred(x - x[jnp.argmax(valid)][None, :], valid)
  return rows.scaled(x)


def _norm(x: chex.Array) -> jax.Array:
  return numerics.safe_sqrt(jnp.sum(jnp.square(x)))


def _centred_kernel(
  x: chex.Array, valid: chex.Array, bandwidth: chex.Numeric
) -> jax.Array:
  """Gaussian kernel matrix less the means of its rows and columns."""
  pairs = valid[:, None] & valid[None, :]
  squared = numerics.squared_distances(numerics.gram(x))
  middle = medians.median(squared, pairs)
  exponent = numerics.safe_divide(squared, 2 * bandwidth**2 * middle)
  same = (squared == 0).astype(squared.dtype)
  kernel = jnp.where(middle <= 0, same, jnp.exp(-exponent))
  kernel = numerics.centred(jnp.where(pairs, kernel, 0), valid)
  return numerics.centred(kernel.T, valid)
