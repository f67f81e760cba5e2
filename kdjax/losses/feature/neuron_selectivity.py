"""Neuron selectivity transfer: the distribution of what channels respond to.

A channel of a feature map, normalised to length 1, is a sample of the
distribution of the layer's spatial selectivities. The losses are the squared
maximum mean discrepancy (MMD) between student and teacher, for three kernels
`k`: `mean k(t, t') + mean k(s, s') - 2 mean k(s, t)` over all pairs of
channels. Zero channels count as the zero vector.
"""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises('example')
def linear_neuron_selectivity_loss(
  student: chex.Array, teacher: chex.Array
) -> jax.Array:
  """Squared MMD with the kernel `x.y`: the distance of the mean selectivities.

  Time `O(N H W C)`, memory `O(N H W)` beyond the normalised maps.

  >>> student, teacher = jnp.eye(2).reshape(1, 1, 2, 2), jnp.ones((1, 1, 2, 2))
  >>> print(f'{linear_neuron_selectivity_loss(student, teacher)[0]:.4f}')
  0.0858

  Args:
    student: Shape `[batch, height, width, student_channels]`.
    teacher: Shape `[batch, height', width', teacher_channels]`; the larger map
      is average-pooled to the smaller.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to the order
    and the scale of channels.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Huang and Wang, `Like What You Like: Knowledge Distill via Neuron
    Selectivity Transfer <https://arxiv.org/abs/1707.01219>`_, 2017, section 4.
  """
  student, teacher = _selectivities(student, teacher)
  difference = jnp.mean(student, axis=1) - jnp.mean(teacher, axis=1)
  return jnp.sum(jnp.square(difference), axis=-1)


@contract.promises(
  'example', degree=contract.COUNT, offset=contract.NOT_NEGATIVE
)
def polynomial_neuron_selectivity_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  degree: int = 2,
  offset: chex.Numeric = 0.0,
) -> jax.Array:
  """Squared MMD with the kernel `(x.y + offset)^degree`.

  The defaults are the paper's, and the kernel that benchmarks use, with weight
  50. Time `O(N C^2 H W)`, memory `O(N C^2)`. (The usual code holds an
  `N x C x C x H W` tensor.)

  >>> student, teacher = jnp.eye(2).reshape(1, 1, 2, 2), jnp.ones((1, 1, 2, 2))
  >>> print(f'{polynomial_neuron_selectivity_loss(student, teacher)[0]:.4f}')
  0.5000

  Args:
    student: Shape `[batch, height, width, student_channels]`.
    teacher: Shape `[batch, height', width', teacher_channels]`; the larger map
      is average-pooled to the smaller.
    degree: Positive integer.
    offset: Not negative.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to the order
    of channels and to positive scales of them.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Huang and Wang, `Like What You Like: Knowledge Distill via Neuron
    Selectivity Transfer <https://arxiv.org/abs/1707.01219>`_, 2017, section 4.
  """

  def kernel_mean(x, y):
    values = (maps.inner_products(x, y) + offset) ** degree
    return jnp.mean(values, axis=(1, 2))

  student, teacher = _selectivities(student, teacher)
  own = kernel_mean(student, student) + kernel_mean(teacher, teacher)
  return own - 2 * kernel_mean(student, teacher)


@contract.promises('example', variance=contract.POSITIVE)
def gaussian_neuron_selectivity_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  variance: chex.Numeric | None = None,
) -> jax.Array:
  """Squared MMD with the kernel `exp(-|x - y|^2 / (2 variance))`.

  Time `O(N C^2 H W)`, memory `O(N C^2)`.

  >>> student, teacher = jnp.eye(2).reshape(1, 1, 2, 2), jnp.ones((1, 1, 2, 2))
  >>> print(f'{gaussian_neuron_selectivity_loss(student, teacher)[0]:.4f}')
  0.3776

  Args:
    student: Shape `[batch, height, width, student_channels]`.
    teacher: Shape `[batch, height', width', teacher_channels]`; the larger map
      is average-pooled to the smaller.
    variance: None for the paper's: the mean squared distance of the pairs of a
      student's and a teacher's channel, for each example (the gradient flows
      through it; the paper does not say whether it should). Above 0.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to the order
    of channels and to positive scales of them.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Huang and Wang, `Like What You Like: Knowledge Distill via Neuron
    Selectivity Transfer <https://arxiv.org/abs/1707.01219>`_, 2017, section 4.
  """
  student, teacher = _selectivities(student, teacher)
  cross = _squared_distances(student, teacher)
  if variance is None:
    variance = jnp.mean(cross, axis=(1, 2), keepdims=True)

  def kernel_mean(squared):
    # Equal channels have the variance 0, and the kernel is 1.
    exponent = numerics.safe_divide(squared, 2 * variance)
    return jnp.mean(jnp.exp(-exponent), axis=(1, 2))

  own_student = kernel_mean(_squared_distances(student, student))
  own_teacher = kernel_mean(_squared_distances(teacher, teacher))
  return own_student + own_teacher - 2 * kernel_mean(cross)


def _selectivities(
  student: chex.Array, teacher: chex.Array
) -> tuple[jax.Array, jax.Array]:
  """Checked, pooled, normalised: two arrays `[batch, channels, positions]`."""
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  student, teacher = maps.to_common_size(
    numerics.at_least_float32(student), numerics.at_least_float32(teacher)
  )
  return (
    maps.unit_vectors(maps.channel_vectors(student)),
    maps.unit_vectors(maps.channel_vectors(teacher)),
  )


def _squared_distances(x: chex.Array, y: chex.Array) -> jax.Array:
  """Squared distances of all pairs of vectors: `[batch, n, m]`."""
  x_norms = jnp.sum(jnp.square(x), axis=-1)[:, :, None]
  y_norms = jnp.sum(jnp.square(y), axis=-1)[:, None, :]
  squared = x_norms + y_norms - 2 * maps.inner_products(x, y)
  # Norms are 1 or 0, so that cancellation costs 1e-7 at most; what is below
  # zero by that much is zero.
  return jnp.where(squared <= 0, 0, squared)
