"""Dense soft targets: one prediction per pixel or per token."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import soft_targets


@contract.promises('example', temperature=contract.each(contract.POSITIVE))
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

  >>> logits = jnp.log(jnp.array([[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]]))
  >>> print(f'{dense_soft_target_loss(logits[..., ::-1], logits)[0]:.4f}')
  0.2749

  Args:
    student_logits: Shape `[batch, ..., classes]`, such as
      `[batch, height, width, classes]` or `[batch, tokens, classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[batch, ...]`, boolean or numeric, zero for positions to leave
      out (they may hold NaN), or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., `Structured Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/1903.04197>`_, 2019, the pixel-wise term.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  positions = student_logits.shape[:-1]
  if mask is None:
    mask = jnp.ones(positions, bool)
  losses = soft_targets.soft_target_loss(
    student_logits, teacher_logits, temperature=temperature, mask=mask
  )
  axes = tuple(range(1, losses.ndim))
  count = jnp.sum(jnp.asarray(mask).astype(bool), axis=axes)
  # Positions left out have loss 0.
  total = jnp.sum(losses, axis=axes)
  return numerics.safe_divide(total, count.astype(losses.dtype))
