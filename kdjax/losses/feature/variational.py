"""Variational information: the likelihood of the teacher given the student."""

import math

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


def initial_log_scale(variance: float = 5.0, *, eps: float = 1e-5) -> float:
  """The log scale at which `softplus(log_scale) + eps` is `variance`.

  >>> round(initial_log_scale(5.0), 4)
  4.9932

  Args:
    variance: Variance to start from, above `eps`.
    eps: As in `variational_information_loss`.
  """
  softplus = variance - eps
  return softplus + math.log(-math.expm1(-softplus))


@contract.promises('example', eps=contract.POSITIVE)
def variational_information_loss(
  mean: chex.Array,
  teacher: chex.Array,
  log_scale: chex.Array,
  *,
  eps: chex.Numeric = 1e-5,
) -> jax.Array:
  """Negative log likelihood of the teacher under the student's Gaussian (VID).

  `mean ((t - m)^2 / v + log v) / 2` over positions and channels, with one
  variance `v = softplus(log_scale) + eps` per channel. The log scales are
  parameters and MUST train with the student and its regressor: in mdistiller
  they are no parameter and keep their initial value. The authors' code and the
  benchmarks take this mean (weight 1); the paper sums. Both
  leave the constant `log(2 pi) / 2` out.

  Where the maps differ in size the larger is average-pooled; a larger student
  is pooled before its regressor instead, by `maps.to_common_size`.

  Time and memory `O(N H W C)`.

  >>> log_scale = jnp.full(2, initial_log_scale(1.0))
  >>> loss = variational_information_loss(
  ...   jnp.zeros((1, 2)), jnp.ones((1, 2)), log_scale
  ... )
  >>> print(f'{loss[0]:.4f}')
  0.5000

  Args:
    mean: The regressor's output, shape `[batch, ..., channels]`.
    teacher: Same shape as `mean`, but for the size of maps.
    log_scale: Shape `[channels]`, see `initial_log_scale`.
    eps: The least variance. Above 0.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Smallest, but not
    zero, where the mean is the teacher and the variance tends to `eps`.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Ahn et al., `Variational Information Distillation for Knowledge Transfer
    <https://arxiv.org/abs/1904.05835>`_, 2019, section 2.
  """
  chex.assert_equal_shape_suffix([mean, teacher, log_scale], 1)
  chex.assert_type([mean, teacher, log_scale], float)
  mean = numerics.at_least_float32(mean)
  teacher = numerics.at_least_float32(teacher)
  if mean.ndim == 4 and teacher.ndim == 4:
    mean, teacher = maps.to_common_size(mean, teacher)
  chex.assert_equal_shape([mean, teacher])
  variance = jax.nn.softplus(jnp.asarray(log_scale, mean.dtype)) + eps
  axes = tuple(range(1, mean.ndim - 1))
  error = jnp.mean(jnp.square(mean - teacher), axis=axes) / variance[None, :]
  return jnp.mean(error + jnp.log(variance)[None, :], axis=-1) / 2
