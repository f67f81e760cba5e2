"""Soft targets of which only the teacher's best classes were kept."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space

# The least share that all classes outside of the list are given.
_LEAST = 1e-37


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def top_k_soft_target_loss(
  student_logits: chex.Array,
  teacher_indices: chex.Array,
  teacher_log_probs: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  reverse: bool = False,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`soft_target_loss` from cached top-k log probabilities of the teacher.

  `t**2 * KL(p || q)` over `k + 1` outcomes: the teacher's `k` best classes and
  all others as one, with `p_rest = 1 - sum_k p_k` and `q_rest` likewise. It is
  at most the full loss, and equal to it at `k = classes`.

  A class of the list that either network masks (-inf, -1e9, `finfo.min`) is
  left out of both, and the teacher's other shares grow accordingly; so is a
  class that the student masks. Time and memory `O(N C)`.

  >>> student = jnp.log(jnp.array([[0.2, 0.3, 0.5]]))
  >>> best, log_probs = jnp.array([[0]]), jnp.log(jnp.array([[0.5]]))
  >>> loss = top_k_soft_target_loss(student, best, log_probs)
  >>> print(f'{loss[0]:.4f}')
  0.2231

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_indices: Integers, the teacher's best classes, `[..., k]`, distinct.
    teacher_log_probs: Their log probabilities at `temperature`, `[..., k]`.
    temperature: At which the teacher's were taken; softens the student's too.
      Above 0. One number, or one of each example.
    reverse: `t**2 * KL(q || p)` over the same outcomes. Its rest is where the
      student says what the teacher's list does not.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.
  """
  chex.assert_equal_shape([teacher_indices, teacher_log_probs])
  chex.assert_equal_shape_prefix(
    [student_logits, teacher_indices], student_logits.ndim - 1
  )
  chex.assert_type([student_logits, teacher_log_probs], float)
  chex.assert_type(teacher_indices, int)
  valid = log_space.counted(mask, student_logits.shape[:-1])
  log_p = numerics.at_least_float32(teacher_log_probs)
  if valid is not None:
    teacher_indices = jnp.where(valid[..., None], teacher_indices, 0)
    log_p = jnp.where(valid[..., None], log_p, 0)
  logits, keep = log_space.single(student_logits, valid)
  student = _outcomes(
    logits / contract.over_classes(temperature), keep, teacher_indices
  )
  # Not log(0): a share of the smallest number behaves as none, and is finite.
  rest = jnp.maximum(1 - jnp.sum(jnp.exp(log_p), axis=-1), _LEAST)
  kept = jnp.concatenate(
    [student.kept[..., :-1] & ~log_space.masked(log_p), student.kept[..., -1:]],
    axis=-1,
  )
  teacher = jnp.concatenate([log_p, jnp.log(rest)[..., None]], axis=-1)
  p, q = (jnp.where(kept, x, 0) for x in (teacher, student.scores))
  if reverse:
    p, q = q, p
  losses = temperature**2 * log_space.divergence(p, q, q - p, kept)
  return log_space.of_positions(losses, valid)


class _Outcomes(NamedTuple):
  """The classes of the list, and all others as one more.

  Attributes:
    scores: Unnormalised log probabilities, shape `[..., k + 1]`.
    kept: Which of them there are, same shape.
  """

  scores: jax.Array
  kept: jax.Array


def _outcomes(
  logits: chex.Array, keep: chex.Array, indices: chex.Array
) -> _Outcomes:
  others = jnp.put_along_axis(keep, indices, False, axis=-1, inplace=False)
  some = jnp.any(others, axis=-1, keepdims=True)
  # The rest is summed, not 1 - sum: that would cancel where the rest is small,
  # and it is the rest that the gradient pushes. Where there is no other class
  # the sum is of all, for a finite gradient, and left out.
  rest = jax.nn.logsumexp(
    logits, axis=-1, keepdims=True, where=jnp.where(some, others, True)
  )
  listed = [jnp.take_along_axis(x, indices, axis=-1) for x in (logits, keep)]
  return _Outcomes(
    jnp.concatenate([listed[0], rest], axis=-1),
    jnp.concatenate([listed[1], some], axis=-1),
  )
