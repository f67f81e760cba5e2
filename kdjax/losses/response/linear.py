"""Losses of large vocabularies: from hidden states and heads."""

import functools
import inspect
from collections.abc import Callable

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.response import heads
from kdjax.losses.response.adaptive import adaptive_kl_loss
from kdjax.losses.response.alpha_beta import alpha_beta_loss
from kdjax.losses.response.divergences import (
  forward_kl_loss,
  generalised_jensen_shannon_loss,
  reverse_kl_loss,
)
from kdjax.losses.response.heads import LinearHead
from kdjax.losses.response.interpolated import interpolated_target_loss
from kdjax.losses.response.sampled import sampled_soft_target_loss
from kdjax.losses.response.skew import skew_kl_loss, skew_reverse_kl_loss
from kdjax.losses.response.soft_targets import soft_target_loss
from kdjax.losses.response.top_k import top_k_soft_target_loss

_CHUNK = 1024

_TEMPERED = {'temperature': contract.each(contract.POSITIVE)}


@contract.promises('scalar', **_TEMPERED, chunk=contract.COUNT)
def linear_soft_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_hidden: chex.Array,
  teacher_head: chex.Array | LinearHead,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
  vocabulary: int | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `soft_target_loss` of two heads, without holding all logits.

  `mean_i soft_target_loss(h_i @ W, g_i @ V)`, computed for `chunk` tokens at a
  time, value and gradients in one pass: time `O(tokens (D + D') vocabulary)`,
  that of the usual form, memory `O(chunk vocabulary + (tokens + vocabulary) D)`
  instead of `O(tokens vocabulary)`. A chunk of masked tokens costs nothing.

  Gradients flow to all arrays, hyperparameters too; those of the teacher cost
  time only where they are asked for. It may stand under `jax.checkpoint`,
  `jax.lax.scan`, `cond` and `map`; derivatives of its gradient are right and
  recompute the chunks. Forward mode (`jax.jvp`) is refused by JAX. Under jit
  with tokens sharded over a mesh every device computes its own tokens.

  >>> hidden = jnp.eye(2)
  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_soft_target_loss(hidden, head[:, ::-1], hidden, head)
  >>> print(f'{loss:.4f}')
  0.2749

  Args:
    student_hidden: Shape `[..., student_dim]`; the leading axes are tokens.
    student_head: Shape `[student_dim, vocabulary]`, or a `LinearHead`.
    teacher_hidden: Shape `[..., teacher_dim]`, as many tokens.
    teacher_head: Shape `[teacher_dim, vocabulary]`, or a `LinearHead`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each token.
    mask: Shape `[...]`, zero for tokens that do not count and may hold NaN, or
      None.
    vocabulary: Cuts both heads to their first so many classes: needed where
      they are padded to different sizes.
    chunk: Tokens whose logits are held at a time.

  Returns:
    The mean over the tokens that count, in nats, a scalar, float32 at least; 0
    if there is none.

  Raises:
    RefusedError: if shapes or dtypes do not fit, or a hyperparameter is out of
      range.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015, section 2.
    Hsu et al., `Liger Kernel: Efficient Triton Kernels for LLM Training
    <https://arxiv.org/abs/2410.10989>`_, 2024, section 3.2: the fused, chunked
    pass.
  """
  return heads.mean_of_heads(
    soft_target_loss,
    (student_hidden, student_head),
    (teacher_hidden, teacher_head),
    {'temperature': temperature},
    heads.Counted(mask, vocabulary, chunk),
  )


def _between_heads(
  loss: Callable[..., jax.Array],
) -> Callable[[Callable], Callable[..., jax.Array]]:
  """Makes a stub the mean of a loss of logits, in chunks of tokens.

  The stub gives name and documentation. The hyperparameters, their defaults and
  their ranges are those of the loss; all else is that of
  `linear_soft_target_loss`.
  """
  usual = inspect.signature(linear_soft_target_loss).parameters
  own = inspect.signature(loss).parameters
  kinds = loss.promise.kinds  # type: ignore[attr-defined]
  names = [*list(usual)[:4], *kinds, 'mask', 'vocabulary', 'chunk']
  signature = inspect.Signature(
    [own[name] if name in own else usual[name] for name in names],
    return_annotation=jax.Array,
  )

  def decorate(stub: Callable) -> Callable[..., jax.Array]:
    @functools.wraps(stub)
    def mean(*networks, mask, vocabulary, chunk, **hyperparameters):
      return heads.mean_of_heads(
        loss,
        networks[:2],
        networks[2:],
        hyperparameters,
        heads.Counted(mask, vocabulary, chunk),
      )

    mean.__signature__ = signature  # type: ignore[attr-defined]
    promises = contract.promises('scalar', **kinds, chunk=contract.COUNT)
    return promises(mean)

  return decorate


@_between_heads(forward_kl_loss)
def linear_forward_kl_loss():
  """Mean `forward_kl_loss` of two heads, without holding all logits.

  `linear_soft_target_loss` without its factor `temperature**2`. Arguments,
  result, costs and errors are those of `linear_soft_target_loss`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_forward_kl_loss(jnp.eye(2), 0 * head, jnp.eye(2), head)
  >>> print(f'{loss:.4f}')
  0.0690

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023.
  """


@_between_heads(reverse_kl_loss)
def linear_reverse_kl_loss():
  """Mean `reverse_kl_loss` of two heads, without holding all logits.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> loss = linear_reverse_kl_loss(jnp.eye(2), 0 * head, jnp.eye(2), head)
  >>> print(f'{loss:.4f}')
  0.0702

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023.
  """


@_between_heads(generalised_jensen_shannon_loss)
def linear_generalised_jensen_shannon_loss():
  """Mean `generalised_jensen_shannon_loss` of two heads, in chunks.

  Arguments, result, costs and errors are those of `linear_soft_target_loss`;
  `beta` is that of `generalised_jensen_shannon_loss`, 0 for forward and 1 for
  reverse KL.

  >>> hidden, head = jnp.eye(2), jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
  >>> loss = linear_generalised_jensen_shannon_loss(
  ...   hidden, 0 * head, hidden, jnp.log(head)
  ... )
  >>> print(f'{loss:.4f}')
  0.0173

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023.
  """


@_between_heads(skew_kl_loss)
def linear_skew_kl_loss():
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


@_between_heads(skew_reverse_kl_loss)
def linear_skew_reverse_kl_loss():
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


@_between_heads(alpha_beta_loss)
def linear_alpha_beta_loss():
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


@_between_heads(interpolated_target_loss)
def linear_interpolated_target_loss():
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


@_between_heads(adaptive_kl_loss)
def linear_adaptive_kl_loss():
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


@contract.promises('scalar', **_TEMPERED, chunk=contract.COUNT)
def linear_top_k_soft_target_loss(
  student_hidden: chex.Array,
  student_head: chex.Array | LinearHead,
  teacher_indices: chex.Array,
  teacher_log_probs: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  reverse: bool = False,
  mask: chex.Array | None = None,
  chunk: int = _CHUNK,
) -> jax.Array:
  """Mean `top_k_soft_target_loss` of a head against cached targets, in chunks.

  >>> head = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]))
  >>> indices, log_probs = jnp.array([[0], [2]]), jnp.log(jnp.full((2, 1), 0.5))
  >>> loss = linear_top_k_soft_target_loss(jnp.eye(2), head, indices, log_probs)
  >>> print(f'{loss:.4f}')
  0.2231

  Args:
    student_hidden: Shape `[..., student_dim]`; the leading axes are tokens.
    student_head: Shape `[student_dim, vocabulary]`, or a `LinearHead`.
    teacher_indices: Integers `[..., k]`, the teacher's best classes.
    teacher_log_probs: Their log probabilities, at `temperature`, `[..., k]`.
    temperature: At which the teacher's were taken. Above 0. One number, or one
      of each token.
    reverse: As in `top_k_soft_target_loss`.
    mask: Shape `[...]`, zero for tokens that do not count, or None.
    chunk: Tokens whose logits are held at a time.

  Returns:
    As `linear_soft_target_loss`.

  Raises:
    RefusedError: as `linear_soft_target_loss`.
  """
  chex.assert_type(teacher_indices, int)
  chex.assert_type(teacher_log_probs, float)
  chex.assert_equal_shape([teacher_indices, teacher_log_probs])
  chex.assert_equal_shape_prefix(
    [student_hidden, teacher_indices], student_hidden.ndim - 1
  )
  return heads.mean_of_student(
    functools.partial(top_k_soft_target_loss, reverse=reverse),
    (student_hidden, student_head),
    {'indices': teacher_indices, 'log_probs': teacher_log_probs},
    {'temperature': temperature},
    heads.Counted(mask, None, chunk),
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
