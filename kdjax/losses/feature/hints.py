"""Hints: the student's guided layer regresses the teacher's hint layer."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics


@contract.promises('example')
def hint_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mean_squared: bool = False,
) -> jax.Array:
  """Squared distance of the student's regressed features from the hint.

  By default equation 3 of the paper, `1/2 ||teacher - r(student)||^2`, where
  the regressor `r` has already been applied. With `mean_squared` the form that
  benchmark codebases use: the mean over all elements, without the 1/2; the two
  differ by a factor of half the number of features.

  >>> student, teacher = jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 4.0]])
  >>> print(hint_loss(student, teacher))
  [2.]

  Args:
    student: Regressed features of the guided layer, shape `[batch, ...]`.
    teacher: Features of the hint layer, same shape.
    mean_squared: Mean of squares instead of half their sum.

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Romero et al., `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, 2015, equation 3.
  """
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  difference = numerics.at_least_float32(teacher) - numerics.at_least_float32(
    student
  )
  squares = numerics.flat(jnp.square(difference))
  if mean_squared:
    return jnp.mean(squares, axis=-1)
  return jnp.sum(squares, axis=-1) / 2
