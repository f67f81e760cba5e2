"""Divergences of large vocabularies beyond the KL: from states and heads."""

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.response import heads
from kdjax.losses.response.adaptive import adaptive_kl_loss
from kdjax.losses.response.alpha_beta import alpha_beta_loss
from kdjax.losses.response.heads import LinearHead
from kdjax.losses.response.interpolated import interpolated_target_loss
from kdjax.losses.response.sampled import sampled_soft_target_loss
from kdjax.losses.response.skew import (
  SKEW,
  skew_kl_loss,
  skew_reverse_kl_loss,
)

_CHUNK = 1024

_TEMPERED = {'temperature': contract.each(contract.POSITIVE)}


@contract.promises(
  'scalar',
  **_TEMPERED,
  skew=SKEW,
  chunk=contract.COUNT,
)
def linear_skew_kl_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  skew: chex.Numeric = 0.1,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `skew_kl_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `skew` is that of `skew_kl_loss`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_skew_kl_loss(jnp.eye(2), head[::-1], jnp.eye(2), head)
  >>> print(f'{loss:.4f}')
  0.2174

  References:
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024.
  """
  return heads.mean_of_heads(
    skew_kl_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'skew': skew, 'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


@contract.promises(
  'scalar',
  **_TEMPERED,
  skew=SKEW,
  chunk=contract.COUNT,
)
def linear_skew_reverse_kl_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  skew: chex.Numeric = 0.1,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `skew_reverse_kl_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `skew` is that of `skew_reverse_kl_loss`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_skew_reverse_kl_loss(jnp.eye(2), 0 * head, jnp.eye(2), head)
  >>> print(f'{loss:.4f}')
  0.0563

  References:
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024.
  """
  return heads.mean_of_heads(
    skew_reverse_kl_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'skew': skew, 'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


@contract.promises(
  'scalar',
  **_TEMPERED,
  alpha=contract.each(contract.FINITE),
  beta=contract.each(contract.FINITE),
  chunk=contract.COUNT,
)
def linear_alpha_beta_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  alpha: chex.Numeric = 0.2,
  beta: chex.Numeric = 0.7,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `alpha_beta_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `alpha` and `beta` are those of `alpha_beta_loss`.

  >>> hidden = jnp.eye(2)
  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_alpha_beta_loss(
  ...   hidden, head[::-1], hidden, head, alpha=0.5, beta=0.0
  ... )
  >>> print(f'{loss:.4f}')
  0.4763

  References:
    Wang et al., `ABKD: Pursuing a Proper Allocation of the Probability Mass in
    Knowledge Distillation via alpha-beta-Divergence
    <https://arxiv.org/abs/2505.04560>`_, 2025.
  """
  return heads.mean_of_heads(
    alpha_beta_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'alpha': alpha, 'beta': beta, 'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


@contract.promises(
  'scalar',
  **_TEMPERED,
  progress=contract.each(contract.FRACTION),
  chunk=contract.COUNT,
)
def linear_interpolated_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  progress: chex.Numeric,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `interpolated_target_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `progress` is that of `interpolated_target_loss`. The student's
  part of the target has no gradient.

  >>> hidden = jnp.eye(2)
  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_interpolated_target_loss(
  ...   hidden, head[::-1], hidden, head, progress=0.4
  ... )
  >>> print(f'{loss:.4f}')
  0.0443

  References:
    Shing et al., `TAID: Temporally Adaptive Interpolated Distillation for
    Efficient Knowledge Transfer in Language Models
    <https://arxiv.org/abs/2501.16937>`_, 2025.
  """
  return heads.mean_of_heads(
    interpolated_target_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'progress': progress, 'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


@contract.promises(
  'scalar',
  **_TEMPERED,
  head_share=contract.each(contract.FRACTION),
  chunk=contract.COUNT,
)
def linear_adaptive_kl_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  head_share: chex.Numeric = 0.5,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `adaptive_kl_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `head_share` is that of `adaptive_kl_loss`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_adaptive_kl_loss(jnp.eye(2), head[::-1], jnp.eye(2), head)
  >>> print(f'{loss:.4f}')
  0.2749

  References:
    Wu et al., `Rethinking Kullback-Leibler Divergence in Knowledge Distillation
    for Large Language Models <https://arxiv.org/abs/2404.02657>`_, 2024.
  """
  return heads.mean_of_heads(
    adaptive_kl_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'head_share': head_share, 'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


@contract.promises('scalar', **_TEMPERED, chunk=contract.COUNT)
def linear_sampled_soft_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_indices: chex.Array,
  teacher_weights: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `sampled_soft_target_loss` of a head against drawn targets, in chunks.

  >>> drawn = jnp.array([[0, 2]]), jnp.array([[0.5, 0.5]])
  >>> hidden, head = jnp.ones((1, 2)), jnp.zeros((2, 3))
  >>> print(f'{linear_sampled_soft_target_loss(hidden, head, *drawn):.4f}')
  1.0986

  Args:
    student_hidden: Shape `[..., student_dim]`; the leading axes are tokens.
    student_head: Shape `[student_dim, vocabulary]`, or a `LinearHead`.
    teacher_indices: Integers `[..., samples]`, from `sample_targets`.
    teacher_weights: Their importance weights, at `temperature`, same shape.
    temperature: At which the teacher's were drawn. Above 0. One number, or one
      of each token.
    mask: Shape `[...]`, zero for tokens that do not count, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    As `linear_soft_target_loss`.

  Raises:
    RefusedError: as `linear_soft_target_loss`.

  References:
    Anshumann et al., `Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs <https://arxiv.org/abs/2503.16870>`_, 2025.
  """
  chex.assert_type(teacher_indices, int)
  chex.assert_type(teacher_weights, float)
  chex.assert_equal_shape([teacher_indices, teacher_weights])
  chex.assert_equal_shape_prefix(
    [student_hidden, teacher_indices], student_hidden.ndim - 1
  )
  return heads.mean_of_student(
    sampled_soft_target_loss,
    (student_hidden, student_head),
    {'indices': teacher_indices, 'weights': teacher_weights},
    {'temperature': temperature},
    heads.Counted(mask, None, chunk),
  )
