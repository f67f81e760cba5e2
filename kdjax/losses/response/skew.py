"""Skew divergences: from one prediction to its mixture with the other."""

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.response import log_space, mixtures

# At 1 the mixture is the prediction itself, and the divergence nothing.
SKEW = contract.each(
  contract.Kind('0 or above and below 1', lambda x: (x >= 0) & (x < 1))
)


@contract.promises(
  'position', skew=SKEW, temperature=contract.each(contract.POSITIVE)
)
def skew_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  skew: chex.Numeric = 0.1,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`KL(teacher || skew * teacher + (1 - skew) * student)`, as in DistiLLM.

  A forward KL that stays bounded, at most `log(1 / skew)`, where the student
  finds impossible what the teacher says; so do its gradients. At `skew` 0 it is
  `forward_kl_loss`. There is no factor `temperature**2`.

  Never negative, and accurate to the last digits however alike the predictions
  are. A class that either network masks is left out of both. Time and memory
  `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{skew_kl_loss(logits[:, ::-1], logits)[0]:.4f}')
  0.2174

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    skew: Share of the teacher in the mixture, from 0 to below 1. One number, or
      one of each example; may be traced.
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
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024, section 3.1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  found = mixtures.predictions(teacher, student, keep, temperature)
  losses = mixtures.from_mixture(found, keep, skew)
  return log_space.of_positions(losses, valid)


@contract.promises(
  'position', skew=SKEW, temperature=contract.each(contract.POSITIVE)
)
def skew_reverse_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  skew: chex.Numeric = 0.1,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`KL(student || (1 - skew) * teacher + skew * student)`, as in DistiLLM.

  A reverse KL that stays bounded where the teacher finds impossible what the
  student says. At `skew` 0 it is `reverse_kl_loss`. Bounds, accuracy, masked
  classes and costs are those of `skew_kl_loss`.

  >>> teacher = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{skew_reverse_kl_loss(jnp.zeros((1, 3)), teacher)[0]:.4f}')
  0.0563

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    skew: Share of the student in the mixture, from 0 to below 1. One number, or
      one of each example; may be traced.
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
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024, section 3.1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  found = mixtures.predictions(student, teacher, keep, temperature)
  losses = mixtures.from_mixture(found, keep, skew)
  return log_space.of_positions(losses, valid)
