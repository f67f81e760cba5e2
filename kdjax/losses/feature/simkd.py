"""SimKD: features that the teacher's own classifier can read."""

import chex
import jax

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps
from kdjax.losses.feature.hints import hint_loss


@contract.promises('example')
def simkd_loss(student: chex.Array, teacher: chex.Array) -> jax.Array:
  """Mean squared error of projected features before the teacher's classifier.

  `mean (p(student) - teacher)^2` (SimKD). It is the only loss: no labels, no
  soft targets, weight 1. The student predicts with the teacher's classifier on
  its projected, globally pooled features, at test time too.

  Where the maps differ in size the larger is average-pooled; a larger student
  is pooled before its projector instead, by `maps.to_common_size`.

  Time and memory `O(N H W C)`.

  >>> print(simkd_loss(jnp.ones((1, 2, 2, 3)), 3 * jnp.ones((1, 2, 2, 3))))
  [4.]

  Args:
    student: Projected features, shape `[batch, height, width, channels]` (or
      `[batch, ..., channels]`).
    teacher: Features of the teacher's last stage, before the global pooling;
      same shape as `student`, but for the size of maps.

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """
  chex.assert_type([student, teacher], float)
  student = numerics.at_least_float32(student)
  teacher = numerics.at_least_float32(teacher)
  if student.ndim == 4 and teacher.ndim == 4:
    student, teacher = maps.to_common_size(student, teacher)
  return hint_loss(student, teacher, mean_squared=True)
