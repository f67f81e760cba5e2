"""Soft targets: the divergence of softened predictions."""

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.response import log_space


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the student's softened predictions from the teacher's.

  `t**2 * KL(softmax(teacher / t) || softmax(student / t))` with
  `t = temperature`, summed over classes. The factor keeps the size of the
  gradient when the temperature changes. (Dividing by the number of classes
  too, or leaving the factor out, are common slips elsewhere.)

  Never negative, and accurate to the last digits at any temperature and
  however alike the predictions are. A class that either network masks with
  -inf, -1e9 or `finfo.min` is left out of both predictions.

  >>> logits = jnp.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
  >>> loss = soft_target_loss(logits, 2 * logits, temperature=4.0)
  >>> print(f'{loss[0]:.4f} {loss[1]:.4f}')
  0.7468 0.1225

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example: any leading axes of `[...]`.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or the temperature is not
      above 0.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015, section 2.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  losses = temperature**2 * log_space.softened_divergence(
    teacher, student, keep, temperature
  )
  return log_space.of_positions(losses, valid)
