"""Soft targets of several labels at a time: one yes or no for each."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def multi_label_soft_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the student's yes or no to each label from the teacher's.

  `t**2 * sum_k KL([p_k, 1 - p_k] || [q_k, 1 - q_k])` with
  `p = sigmoid(teacher / t)`, `q = sigmoid(student / t)` and `t = temperature`:
  soft targets where labels do not exclude each other. A label that either
  network masks (-inf, -1e9, `finfo.min`) is left out.

  >>> logits = jnp.array([[2.0, 0.0, -1.0]])
  >>> print(f'{multi_label_soft_target_loss(logits, 2 * logits)[0]:.4f}')
  0.1399

  Args:
    student_logits: Log odds of each label, shape `[..., labels]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both; higher is softer. Above 0. One number, or one of
      each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least: the sum over the
    labels.

  Raises:
    RefusedError: if shapes or dtypes do not fit or the temperature is not
      above 0.

  References:
    Yang et al., `Multi-Label Knowledge Distillation
    <https://arxiv.org/abs/2308.06453>`_, 2023, equation 2 (multi-label logits
    distillation: one label against all others).
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  by = contract.over_classes(temperature)
  losses = log_space.divergence(
    log_space.beside_zero(teacher / by),
    log_space.beside_zero(student / by),
    log_space.beside_zero((student - teacher) / by),
    jnp.ones((*keep.shape, 2), bool),
  )
  total = jnp.sum(jnp.where(keep, losses, 0), axis=-1)
  return log_space.of_positions(temperature**2 * total, valid)
