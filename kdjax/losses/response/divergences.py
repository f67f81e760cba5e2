"""Divergences between student and teacher: forward, reverse and between."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space, mixtures


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def forward_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`KL(teacher || student)`: the student covers all that the teacher says.

  The soft target loss without its factor `temperature**2`, as it is written
  for language models. Time and memory `O(N C)`.

  >>> teacher = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{forward_kl_loss(jnp.zeros((1, 3)), teacher)[0]:.4f}')
  0.0690

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023,
    section 2.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  losses = log_space.softened_divergence(teacher, student, keep, temperature)
  return log_space.of_positions(losses, valid)


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def reverse_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`KL(student || teacher)`: the student says nothing the teacher would not.

  The exact sum over classes at given positions. (MiniLLM minimises it over
  sequences that the student samples, by policy gradient with a length
  normalisation; this is its single-step term.)

  Time and memory `O(N C)`.

  >>> teacher = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{reverse_kl_loss(jnp.zeros((1, 3)), teacher)[0]:.4f}')
  0.0702

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023, section 2.1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  losses = log_space.softened_divergence(student, teacher, keep, temperature)
  return log_space.of_positions(losses, valid)


@contract.promises(
  'position',
  beta=contract.each(contract.FRACTION),
  temperature=contract.each(contract.POSITIVE),
)
def generalised_jensen_shannon_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  beta: chex.Numeric = 0.5,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence between forward (`beta` 0) and reverse (`beta` 1) KL.

  With `P` the teacher's and `Q` the student's prediction and
  `M = beta * P + (1 - beta) * Q`:
  `beta * KL(P || M) + (1 - beta) * KL(Q || M)`. Never above `log 2`.

  That vanishes as `beta` nears 0 or 1; the paper's ends are limits after
  division: by `beta` it tends to `KL(P || Q)`, by `1 - beta` to `KL(Q || P)`.
  As in TRL, exactly 0 gives the forward and exactly 1 the reverse KL,
  undivided; so it is not continuous there. (TRL before March 2025 mixed with
  the shares swapped; code that clamps `beta` instead has a loss near 0.)

  Time and memory `O(N C)`.

  >>> teacher = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> loss = generalised_jensen_shannon_loss(jnp.zeros((1, 3)), teacher)
  >>> print(f'{loss[0]:.4f}')
  0.0173

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    beta: Share of the teacher in the mixture, 0 to 1; may be traced.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023,
    equation 1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  beta = jnp.asarray(beta, student.dtype)
  forward_end, reverse_end = beta <= 0, beta >= 1
  # Double where: at the ends the mixture is one of the two, and its divergence
  # has no derivative by beta.
  inner = jnp.where(forward_end | reverse_end, 0.5, beta)
  between = mixtures.jensen_shannon(teacher, student, keep, temperature, inner)
  forward = log_space.softened_divergence(teacher, student, keep, temperature)
  reverse = log_space.softened_divergence(student, teacher, keep, temperature)
  losses = jnp.where(
    forward_end, forward, jnp.where(reverse_end, reverse, between)
  )
  return log_space.of_positions(losses, valid)
