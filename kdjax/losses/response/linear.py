"""Soft targets of large vocabularies: from hidden states and heads."""

import functools

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import chunked
from kdjax.losses.response.divergences import (
  generalised_jensen_shannon_loss,
  reverse_kl_loss,
)
from kdjax.losses.response.soft_targets import soft_target_loss
from kdjax.losses.response.top_k import top_k_soft_target_loss

_CHUNK = 1024


def linear_soft_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array,
  *,
  temperature: float = 1.0,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `soft_target_loss` of two heads, without holding all logits.

  `mean_i soft_target_loss(h_i @ W, g_i @ V)`, computed for `chunk` tokens at a
  time, value and gradients in one pass: time `O(tokens (D + D') vocabulary)`,
  that of the usual form, memory `O(chunk vocabulary + (tokens + vocabulary) D)`
  instead of `O(tokens vocabulary)`. Masked tokens cost nothing but their place.

  Gradients flow to all four arrays; those of the teacher cost time only where
  they are asked for. Reverse mode, first order.

  Args:
    student_hidden: Shape `[..., student_dim]`; the leading axes are tokens.
    student_head: Shape `[student_dim, vocabulary]`.
    teacher_hidden: Shape `[..., teacher_dim]`, as many tokens.
    teacher_head: Shape `[teacher_dim, vocabulary]`.
    temperature: Softens both distributions; higher is softer. Above 0.
    mask: Shape `[...]`, zero for tokens that do not count, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    The mean over the tokens that count, in nats, a scalar, float32 at least; 0
    if there is none.

  Raises:
    AssertionError: if the shapes do not fit or the dtypes are not floating.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015, section 2.
    Hsu et al., `Liger Kernel: Efficient Triton Kernels for LLM Training
    <https://arxiv.org/abs/2410.10989>`_, 2024, section 3.2: the fused, chunked
    pass.
  """
  loss = functools.partial(soft_target_loss, temperature=temperature)
  student = student_hidden, student_head
  return _mean(loss, student, (teacher_hidden, teacher_head), mask, chunk)


def linear_reverse_kl_loss(
  student_hidden: chex.Array,
  student_head: chex.Array,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array,
  *,
  temperature: float = 1.0,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `reverse_kl_loss` of two heads, without holding all logits.

  Arguments, result and costs are those of `linear_soft_target_loss`.

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023.
  """
  loss = functools.partial(reverse_kl_loss, temperature=temperature)
  student = student_hidden, student_head
  return _mean(loss, student, (teacher_hidden, teacher_head), mask, chunk)


def linear_generalised_jensen_shannon_loss(
  student_hidden: chex.Array,
  student_head: chex.Array,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array,
  *,
  beta: float = 0.5,
  temperature: float = 1.0,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `generalised_jensen_shannon_loss` of two heads, in chunks.

  Arguments, result and costs are those of `linear_soft_target_loss`; `beta` is
  that of `generalised_jensen_shannon_loss`, 0 for forward and 1 for reverse KL.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023.
  """
  loss = functools.partial(
    generalised_jensen_shannon_loss, beta=beta, temperature=temperature
  )
  student = student_hidden, student_head
  return _mean(loss, student, (teacher_hidden, teacher_head), mask, chunk)


def linear_top_k_soft_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array,
  teacher_indices: chex.Array,
  teacher_log_probs: chex.Array,
  *,
  temperature: float = 1.0,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `top_k_soft_target_loss` of a head against cached targets, in chunks.

  Args:
    student_hidden: Shape `[..., student_dim]`; the leading axes are tokens.
    student_head: Shape `[student_dim, vocabulary]`.
    teacher_indices: Integers `[..., k]`, the teacher's best classes.
    teacher_log_probs: Their log probabilities, at `temperature`, `[..., k]`.
    temperature: At which the teacher's were taken. Above 0.
    mask: Shape `[...]`, zero for tokens that do not count, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    As `linear_soft_target_loss`.
  """
  chex.assert_type(teacher_indices, int)
  chex.assert_type(teacher_log_probs, float)
  chex.assert_equal_shape([teacher_indices, teacher_log_probs])
  chex.assert_equal_shape_prefix(
    [student_hidden, teacher_indices], student_hidden.ndim - 1
  )
  return chunked.mean_loss(
    functools.partial(top_k_soft_target_loss, temperature=temperature),
    (_head(student_hidden, student_head),),
    (
      jnp.reshape(teacher_indices, (-1, teacher_indices.shape[-1])),
      numerics.at_least_float32(teacher_log_probs).reshape(
        -1, teacher_log_probs.shape[-1]
      ),
    ),
    mask=None if mask is None else mask.reshape(-1),
    chunk=chunk,
  )


def _mean(loss, student, teacher, mask, chunk) -> jax.Array:
  """The mean loss between two heads."""
  chex.assert_equal_shape_prefix([student[0], teacher[0]], student[0].ndim - 1)
  chex.assert_equal(student[1].shape[1], teacher[1].shape[1])
  return chunked.mean_loss(
    loss,
    (_head(*student), _head(*teacher)),
    (),
    mask=None if mask is None else mask.reshape(-1),
    chunk=chunk,
  )


def _head(hidden: chex.Array, head: chex.Array) -> chunked.Head:
  """Hidden states as rows, beside the head that fits them."""
  chex.assert_type([hidden, head], float)
  chex.assert_shape(head, (hidden.shape[-1], None))
  rows = jnp.reshape(hidden, (-1, hidden.shape[-1]))
  return chunked.Head(rows, jnp.asarray(head))
