"""Self-attention of transformers: what attends to what, and in what relation.

Tokens whose `mask` is zero are neither attended to nor averaged over, and may
hold NaN. An example without tokens costs nothing.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps, tokens
from kdjax.losses.response import log_space


@contract.promises('example')
def attention_distribution_loss(
  student_scores: chex.Array,
  teacher_scores: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the student's attention from the teacher's.

  `mean KL(softmax(teacher) || softmax(student))` over heads and queries, each
  distribution over the keys (the first term of MiniLM).

  Time and memory `O(N A T^2)` for `A` heads.

  >>> teacher = jnp.log(jnp.array([[[[0.5, 0.5], [0.25, 0.75]]]]))
  >>> loss = attention_distribution_loss(jnp.zeros_like(teacher), teacher)
  >>> print(f'{loss[0]:.4f}')
  0.0654

  Args:
    student_scores: Unnormalised log attention, shape
      `[batch, heads, tokens, tokens]`, queries before keys. Where a model
      gives attention weights, their logarithm. A key that either network
      masks for a query (-inf, -1e9, `finfo.min`) is left out of both.
    teacher_scores: Same shape as `student_scores`.
    mask: Shape `[batch, tokens]`, zero for padding, or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least. Invariant to a
    constant added to the scores of any query.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wang et al., `MiniLM: Deep Self-Attention Distillation
    <https://arxiv.org/abs/2002.10957>`_, 2020, section 3.
  """
  chex.assert_rank([student_scores, teacher_scores], 4)
  chex.assert_equal_shape([student_scores, teacher_scores])
  chex.assert_type([student_scores, teacher_scores], float)
  pairs = tokens.valid_pairs(student_scores, mask)
  student, teacher, keep = log_space.pair(
    jnp.where(pairs, student_scores, 0), jnp.where(pairs, teacher_scores, 0)
  )
  keep &= pairs
  # A query that sees nothing, as padding does, is no query; one that sees
  # nothing for the student alone is NaN.
  seeing = jnp.any(pairs & ~log_space.masked(teacher_scores), axis=-1)
  keep |= ~seeing[..., None]
  terms = log_space.divergence(teacher, student, student - teacher, keep)
  total = jnp.sum(jnp.where(seeing, terms, 0), axis=(1, 2))
  queries = jnp.sum(seeing, axis=(1, 2)).astype(total.dtype)
  return total / jnp.maximum(queries, 1)


@contract.promises('example', relation_heads=contract.COUNT)
def self_attention_relation_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  relation_heads: int,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence of the relations of tokens: Q-Q, K-K or V-V (MiniLMv2).

  The concatenated vectors of the attention heads are split anew into
  `relation_heads`, whose relations `softmax(a a^T / sqrt(dim / heads))` are
  compared by `attention_distribution_loss`. Neither the number of attention
  heads nor the dimension need agree, and no projection is needed.

  Time `O(N T^2 D)`, memory `O(N R T^2)` for `R` relation heads.

  >>> tokens = jnp.eye(2)[None]
  >>> loss = self_attention_relation_loss(tokens, 2 * tokens, relation_heads=1)
  >>> print(f'{loss[0]:.4f}')
  0.2250

  Args:
    student: Queries, keys or values of all heads, concatenated, shape
      `[batch, tokens, student_dim]`.
    teacher: The same of the teacher, shape `[batch, tokens, teacher_dim]`.
    relation_heads: Divides both dimensions. The paper's is 48 for teachers of
      base size, 64 for large ones; the attention heads give MiniLM's V-V.
    mask: Shape `[batch, tokens]`, zero for padding, or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least. Invariant to
    a rotation of the vectors of any relation head.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wang et al., `MiniLMv2: Multi-Head Self-Attention Relation Distillation
    <https://arxiv.org/abs/2012.15828>`_, 2021, section 3.
  """
  return attention_distribution_loss(
    _scores(student, student, relation_heads, mask),
    _scores(teacher, teacher, relation_heads, mask),
    mask=mask,
  )


@contract.promises('example', heads=contract.COUNT)
def minilm_loss(
  student: tuple[chex.Array, chex.Array, chex.Array],
  teacher: tuple[chex.Array, chex.Array, chex.Array],
  *,
  heads: int,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Attention distributions plus value relations of the last layer (MiniLM).

  The divergence of `softmax(q k^T / sqrt(d))` plus that of
  `softmax(v v^T / sqrt(d))`, each the mean over heads and queries. Both
  networks need the same number of heads.

  Time `O(N T^2 D)`, memory `O(N A T^2)` for `A` heads.

  >>> student = (jnp.eye(2)[None],) * 3
  >>> teacher = (2 * jnp.eye(2)[None],) * 3
  >>> print(f'{minilm_loss(student, teacher, heads=1)[0]:.4f}')
  0.4500

  Args:
    student: Queries, keys and values of all heads, concatenated, each
      `[batch, tokens, student_dim]`.
    teacher: The same of the teacher, each `[batch, tokens, teacher_dim]`.
    heads: The number of attention heads; divides both dimensions.
    mask: Shape `[batch, tokens]`, zero for padding, or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wang et al., `MiniLM: Deep Self-Attention Distillation
    <https://arxiv.org/abs/2002.10957>`_, 2020, section 3.
  """
  attention = attention_distribution_loss(
    _scores(student[0], student[1], heads, mask),
    _scores(teacher[0], teacher[1], heads, mask),
    mask=mask,
  )
  return attention + self_attention_relation_loss(
    student[2], teacher[2], relation_heads=heads, mask=mask
  )


@contract.promises('example', relation_heads=contract.COUNT)
def minilmv2_loss(
  student: Sequence[chex.Array],
  teacher: Sequence[chex.Array],
  *,
  relation_heads: int,
  weights: Sequence[chex.Numeric] = (1.0, 1.0, 1.0),
  mask: chex.Array | None = None,
) -> jax.Array:
  """Query, key and value relations of one layer, summed (MiniLMv2).

  `sum_i weights_i self_attention_relation_loss(student_i, teacher_i)`. The
  weights are 1 in public code.

  >>> student = [jnp.eye(2)[None]] * 3
  >>> teacher = [2 * jnp.eye(2)[None]] * 3
  >>> print(f'{minilmv2_loss(student, teacher, relation_heads=1)[0]:.4f}')
  0.6751

  Args:
    student: Queries, keys and values, each `[batch, tokens, student_dim]`.
    teacher: The same of the teacher, each `[batch, tokens, teacher_dim]`.
    relation_heads: See `self_attention_relation_loss`.
    weights: One for each of queries, keys and values.
    mask: Shape `[batch, tokens]`, zero for padding, or None.

  Returns:
    Loss per example in nats, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wang et al., `MiniLMv2: Multi-Head Self-Attention Relation Distillation
    <https://arxiv.org/abs/2012.15828>`_, 2021, section 3.
  """
  return sum(
    weight
    * self_attention_relation_loss(
      s, t, relation_heads=relation_heads, mask=mask
    )
    for weight, s, t in zip(weights, student, teacher, strict=True)
  )


def _scores(
  queries: chex.Array, keys: chex.Array, heads: int, mask: chex.Array | None
) -> jax.Array:
  """Scaled inner products, up to a constant for each query.

  Returns:
    Shape `[batch, heads, tokens, tokens]`.
  """
  chex.assert_rank([queries, keys], 3)
  chex.assert_equal_shape([queries, keys])
  chex.assert_type([queries, keys], float)
  chex.assert_is_divisible(queries.shape[-1], heads)
  dim = queries.shape[-1] // heads

  def split(x):
    return jnp.swapaxes(x.reshape(*x.shape[:2], heads, dim), 1, 2)

  queries = tokens.without_padding(numerics.at_least_float32(queries), mask)
  # The softmax over keys does not see what their mean adds to each score, but
  # the rounding of large scores would drown their differences.
  keys = tokens.centred(numerics.at_least_float32(keys), mask)
  return maps.inner_products(split(queries), split(keys)) / dim**0.5
