"""Attention transfer: the student looks where the teacher looks."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises('example', p=contract.AT_LEAST_ONE)
def attention_map(features: chex.Array, *, p: chex.Numeric = 2.0) -> jax.Array:
  """Where a layer is active: the spatial map `mean_c |f_c|^p`, of length 1.

  >>> features = jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1)
  >>> [round(x, 4) for x in attention_map(features, p=1)[0].tolist()]
  [0.6, 0.8]

  Args:
    features: Feature map, shape `[batch, height, width, channels]`.
    p: Power of the activations; higher favours the most active neurons. At
      least 1.

  Returns:
    Unit vectors, shape `[batch, height * width]`, float32 at least; zero where
    the map is zero. Invariant to the scale of the features, and the same for
    the sum over channels as for their mean.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Zagoruyko and Komodakis, `Paying More Attention to Attention
    <https://arxiv.org/abs/1612.03928>`_, 2017, section 3.1.
  """
  chex.assert_rank(features, 4)
  chex.assert_type(features, float)
  features = numerics.at_least_float32(features)
  energy = jnp.mean(jnp.abs(features) ** p, axis=-1)
  return maps.unit_vectors(numerics.flat(energy))


@contract.promises('example', p=contract.AT_LEAST_ONE)
def attention_transfer_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  p: chex.Numeric = 2.0,
  unsquared_norm: bool = False,
) -> jax.Array:
  """Difference between the attention maps of student and teacher (AT).

  By default the form of the authors' code and of the benchmarks, the mean over
  positions of `(q_s - q_t)^2`, for a weight of 1000. With `unsquared_norm`
  equation 2 of the paper, `||q_s - q_t||_2`, for a weight of `beta / 2`. Where
  the maps differ in size, the features of the larger are average-pooled.

  Time `O(N H W C)`, memory `O(N H W)` beyond the inputs.

  >>> student = jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1)
  >>> loss = attention_transfer_loss(student, student[:, :, ::-1], p=1)
  >>> print(f'{loss[0]:.4f}')
  0.0400

  Args:
    student: Shape `[batch, height, width, student_channels]`.
    teacher: Shape `[batch, height', width', teacher_channels]`.
    p: Power of the activations, see `attention_map`.
    unsquared_norm: The norm of the difference, not the mean of its squares.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to the scale
    of either map and to the order of its channels.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Zagoruyko and Komodakis, `Paying More Attention to Attention
    <https://arxiv.org/abs/1612.03928>`_, 2017, equation 2.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  student, teacher = maps.to_common_size(
    numerics.at_least_float32(student), numerics.at_least_float32(teacher)
  )
  squares = jnp.square(
    attention_map(student, p=p) - attention_map(teacher, p=p)
  )
  if unsquared_norm:
    return numerics.safe_sqrt(jnp.sum(squares, axis=-1))
  return jnp.mean(squares, axis=-1)
