"""Dense soft targets: one prediction per pixel or per token."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import soft_targets


def dense_soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Soft targets at every position, averaged over an example's positions.

  `mean_p t**2 * KL(softmax(teacher_p / t) || softmax(student_p / t))` over the
  unmasked positions `p` of an example; 0 for an example that has none. Every
  example counts alike, however many positions it has. (Code for segmentation
  often leaves the sum over the batch in, or averages over classes too; code
  for language models averages over all tokens of the batch, which weights
  examples by their length.)

  Time and memory `O(P C)` for `P` positions in all.

  Args:
    student_logits: Shape `[batch, ..., classes]`, such as
      `[batch, height, width, classes]` or `[batch, tokens, classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0.
    mask: Shape `[batch, ...]`, boolean or numeric, zero for positions to leave
      out (they may hold NaN), or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Liu et al., `Structured Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/1903.04197>`_, 2019, the pixel-wise term.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  positions = student_logits.shape[:-1]
  if mask is None:
    mask = jnp.ones(positions, bool)
  chex.assert_shape(mask, positions)
  keep = jnp.asarray(mask).astype(bool)
  # Before the loss, for the gradient: 0 * NaN in its backward pass is NaN.
  student = jnp.where(keep[..., None], student_logits, 0)
  teacher = jnp.where(keep[..., None], teacher_logits, 0)
  losses = soft_targets.soft_target_loss(
    student, teacher, temperature=temperature
  )
  axes = tuple(range(1, losses.ndim))
  count = jnp.sum(keep, axis=axes).astype(losses.dtype)
  # Positions left out have equal logits, hence loss 0.
  return numerics.safe_divide(jnp.sum(losses, axis=axes), count)
