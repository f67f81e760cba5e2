"""Soft targets of which only the teacher's best classes were kept."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics


def top_k_soft_target_loss(
  student_logits: chex.Array,
  teacher_indices: chex.Array,
  teacher_log_probs: chex.Array,
  *,
  temperature: float = 1.0,
) -> jax.Array:
  """`soft_target_loss` from cached top-k log probabilities of the teacher.

  `t**2 * KL(p || q)` over `k + 1` outcomes: the teacher's `k` best classes and
  all others as one, with `p_rest = 1 - sum_k p_k` and `q_rest` likewise. It is
  at most the full loss, and equal to it at `k = classes`.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_indices: Integers, the teacher's best classes, `[..., k]`, distinct.
    teacher_log_probs: Their log probabilities at `temperature`, `[..., k]`.
    temperature: At which the teacher's were taken; softens the student's too.
      Above 0.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes do not fit or the dtypes are wrong.
  """
  chex.assert_equal_shape([teacher_indices, teacher_log_probs])
  chex.assert_equal_shape_prefix(
    [student_logits, teacher_indices], student_logits.ndim - 1
  )
  chex.assert_type([student_logits, teacher_log_probs], float)
  chex.assert_type(teacher_indices, int)
  log_p = numerics.at_least_float32(teacher_log_probs)
  logits = numerics.at_least_float32(student_logits)
  log_q = jax.nn.log_softmax(logits / temperature)
  best = jnp.take_along_axis(log_q, teacher_indices, axis=-1)
  p = jnp.exp(log_p)
  known = jnp.sum(p * (log_p - best), axis=-1)
  if teacher_indices.shape[-1] == student_logits.shape[-1]:
    return temperature**2 * known
  # The student's rest is summed, not 1 - sum: that would cancel where the rest
  # is small, and it is the rest that the gradient pushes.
  others = jnp.put_along_axis(
    log_q, teacher_indices, -jnp.inf, axis=-1, inplace=False
  )
  rest = jax.nn.logsumexp(others, axis=-1)
  p_rest = jnp.maximum(1 - jnp.sum(p, axis=-1), 0)
  return temperature**2 * (known + _term(p_rest, rest))


def _term(p: jax.Array, log_q: jax.Array) -> jax.Array:
  """`p (log p - log q)`, 0 where `p` is."""
  some = p > 0
  log_p = jnp.log(jnp.where(some, p, 1))
  return jnp.where(some, p * (log_p - jnp.where(some, log_q, 0)), 0)
