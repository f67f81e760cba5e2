"""Attention matrices of transformers, compared entry by entry."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.feature import tokens
from kdjax.losses.response import log_space


@contract.promises('example')
def attention_matrix_loss(
  student_scores: chex.Array,
  teacher_scores: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Mean squared error of the attention matrices (TinyBERT).

  `mean (student - teacher)^2` over heads and pairs of tokens, of the scores
  BEFORE the softmax, as the paper prefers; weights after it can be passed as
  well. Pairs that either network masks (-inf, -1e9, `finfo.min`) do not count.

  TinyBERT's code counts padding as zeros in the mean, and TextBrewer with a
  mask sums over heads, and divides by the pairs of the whole batch.

  Time and memory `O(N A T^2)` for `A` heads.

  >>> scores = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]]])
  >>> print(attention_matrix_loss(scores, scores + 0.5))
  [0.25]

  Args:
    student_scores: Shape `[batch, heads, tokens, tokens]`.
    teacher_scores: Same shape as `student_scores`.
    mask: Shape `[batch, tokens]`, zero for padding, or None. Padding is
      neither a query nor a key, and may hold NaN.

  Returns:
    Loss per example, shape `[batch]`, float32 at least; 0 for an example
    without tokens.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Jiao et al., `TinyBERT: Distilling BERT for Natural Language Understanding
    <https://arxiv.org/abs/1909.10351>`_, 2020, section 3.
  """
  chex.assert_rank([student_scores, teacher_scores], 4)
  chex.assert_equal_shape([student_scores, teacher_scores])
  chex.assert_type([student_scores, teacher_scores], float)
  pairs = tokens.valid_pairs(student_scores, mask)
  # Each side is selected, not their difference: inf - inf is NaN.
  student, teacher, keep = log_space.pair(
    jnp.where(pairs, student_scores, 0), jnp.where(pairs, teacher_scores, 0)
  )
  counts = keep & pairs
  count = jnp.sum(counts, axis=(1, 2, 3)).astype(student.dtype)
  total = jnp.sum(jnp.square(student - teacher), axis=(1, 2, 3))
  return total / jnp.maximum(count, 1)
