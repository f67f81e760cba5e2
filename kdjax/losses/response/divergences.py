"""Divergences between student and teacher: forward, reverse and between."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.response import log_space


def forward_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
) -> jax.Array:
  """`KL(teacher || student)`: the student covers all that the teacher says.

  The soft target loss without its factor `temperature**2`, as it is written
  for language models. Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023,
    section 2.
  """
  log_q, log_p = _log_probabilities(student_logits, teacher_logits, temperature)
  return log_space.kl_divergence(log_p, log_q)


def reverse_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
) -> jax.Array:
  """`KL(student || teacher)`: the student says nothing the teacher would not.

  The exact sum over classes at given positions. (MiniLLM minimises it over
  sequences that the student samples, by policy gradient with a length
  normalisation; this is its single-step term.) Infinite where the student
  allows a class that the teacher excludes with a logit of -inf.

  Time and memory `O(N C)`.

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023, section 2.1.
  """
  log_q, log_p = _log_probabilities(student_logits, teacher_logits, temperature)
  return log_space.kl_divergence(log_q, log_p)


def generalised_jensen_shannon_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  beta: chex.Numeric = 0.5,
  temperature: chex.Numeric = 1.0,
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

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    beta: Share of the teacher in the mixture, 0 to 1; may be traced.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    AssertionError: if the shapes differ or the dtypes are not floating.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023,
    equation 1.
  """
  log_q, log_p = _log_probabilities(student_logits, teacher_logits, temperature)
  beta = jnp.asarray(beta, log_q.dtype)
  forward_end, reverse_end = beta <= 0, beta >= 1
  # Double where: log(0) has no derivative in the branch not taken, nor has the
  # reverse KL where the teacher excludes a class.
  inner = jnp.where(forward_end | reverse_end, 0.5, beta)
  # Nor has logaddexp where both exclude it; such a class counts nowhere below.
  possible = (log_p > -jnp.inf) | (log_q > -jnp.inf)
  log_m = jnp.logaddexp(
    jnp.where(possible, log_p, 0) + jnp.log(inner),
    jnp.where(possible, log_q, 0) + jnp.log1p(-inner),
  )
  between = inner * log_space.kl_divergence(log_p, log_m)
  between += (1 - inner) * log_space.kl_divergence(log_q, log_m)
  log_p_forward = jnp.where(forward_end, log_p, log_q)
  log_p_reverse = jnp.where(reverse_end, log_p, log_q)
  forward = log_space.kl_divergence(log_p_forward, log_q)
  reverse = log_space.kl_divergence(log_q, log_p_reverse)
  return jnp.where(
    forward_end, forward, jnp.where(reverse_end, reverse, between)
  )


def _log_probabilities(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  temperature: chex.Numeric,
) -> tuple[jax.Array, jax.Array]:
  """Checked and softened log probabilities of student and teacher."""
  chex.assert_equal_shape([student_logits, teacher_logits])
  chex.assert_type([student_logits, teacher_logits], float)
  student = numerics.at_least_float32(student_logits)
  teacher = numerics.at_least_float32(teacher_logits)
  return (
    jax.nn.log_softmax(student / temperature),
    jax.nn.log_softmax(teacher / temperature),
  )
