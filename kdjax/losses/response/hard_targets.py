"""Hard targets: the class that the teacher finds most likely, as a label."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space


@contract.promises('position')
def hard_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Cross-entropy with the teacher's best class, as DeiT's hard distillation.

  `-log softmax(student)[argmax(teacher)]`. Of several best classes it is the
  first. There is no slope to the teacher. It is not 0 at student = teacher.

  A class that either network masks is left out of both. Time and memory
  `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{hard_target_loss(logits[:, ::-1], logits)[0]:.4f}')
  1.6094

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit.

  References:
    Touvron et al., `Training data-efficient image transformers & distillation
    through attention <https://arxiv.org/abs/2012.12877>`_, 2021, equation 3.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  best = jnp.argmax(jnp.where(keep, teacher, -jnp.inf), axis=-1)
  losses = log_space.label_cross_entropy(student, keep, best)
  # Not the best of numbers of which one is none.
  broken = jnp.any(jnp.isnan(teacher), axis=-1) | ~jnp.any(keep, axis=-1)
  losses = jnp.where(broken, jnp.nan, losses)
  return log_space.of_positions(losses, valid)
