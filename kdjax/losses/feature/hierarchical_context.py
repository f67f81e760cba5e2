"""Knowledge review: features compared at several levels of context."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises('example')
def hierarchical_context_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  levels: Sequence[int] = (4, 2, 1),
) -> jax.Array:
  """Mean squared error of the maps and of their pooled versions (HCL).

  `sum_l w_l mse(pool_l(s), pool_l(t)) / sum_l w_l`: the maps themselves with
  weight 1, then average-pooled to `l x l` with weights 1/2, 1/4, ... Levels
  not below the height of the map are left out, and halve nothing.

  The student's features come from the residual fusion of its deeper stages
  (ABF), the teacher's are PRE-activations; the losses of the stages are summed
  with a weight that ramps up over 20 epochs.

  Time and memory `O(N H W C)`.

  >>> student = jnp.ones((1, 8, 8, 2))
  >>> print(hierarchical_context_loss(student, 3 * student))
  [4.]

  Args:
    student: Fused features, shape `[batch, height, width, channels]`. A pooled
      feature is a map of 1 x 1.
    teacher: Same shape as `student`.
    levels: Sizes of the pooled maps, largest first.

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Chen et al., `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_, 2021, section 3, and its code.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  # Pooling is linear, so the difference is pooled instead of both maps.
  difference = numerics.at_least_float32(student) - numerics.at_least_float32(
    teacher
  )
  loss = jnp.mean(jnp.square(difference), axis=(1, 2, 3))
  weight = total = 1.0
  for level in levels:
    if level < student.shape[1]:
      weight /= 2
      total += weight
      pooled = maps.average_pool(difference, (level, level))
      loss += weight * jnp.mean(jnp.square(pooled), axis=(1, 2, 3))
  return loss / total
