"""Normalised distillation: target and normalised non-targets (NKD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space

_INSTEAD = (
  'give argmax(labels, -1) of one-hot labels, and take soft_target_loss for '
  'soft or mixed ones.'
)


@contract.promises(
  'position',
  gamma=contract.each(contract.NOT_NEGATIVE),
  temperature=contract.each(contract.POSITIVE),
)
def normalised_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  gamma: chex.Numeric = 1.5,
  temperature: chex.Numeric = 1.0,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Soft target of the label, plus the others normalised to sum to one (NKD).

  `-T_y log S_y - gamma * t**2 * sum_{k != y} T'_k log S'_k`, where `T` and `S`
  are the predictions at temperature 1 and `T'` and `S'` those among the other
  classes at temperature `t`. Like the decoupled loss with the target part
  weighted by the teacher's confidence and a fixed weight on the rest, but
  cross-entropies, so not 0 where student and teacher agree.

  One or two classes have no second term. Early copies of the authors' code
  leave the target out by subtracting 1000 from its logit, and one public
  revision fills its mask with ones, so that the target stays in; this is exact.

  Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> loss = normalised_loss(logits[:, ::-1], logits, jnp.array([0]))
  >>> print(f'{loss[0]:.4f}')
  1.9695

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    gamma: Weight of the non-target term.
    temperature: Softens the non-target distributions only. Above 0. One
      number, or one of each example.
    ignore: A label, such as -100 or 255, of positions that cost nothing; None
      for none. Other labels outside the classes give NaN.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yang et al., `From Knowledge Distillation to Self-Knowledge Distillation: A
    Unified Approach with Normalized Loss and Customized Soft Labels
    <https://arxiv.org/abs/2303.13005>`_, 2023, section 3.1.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  contract.check_labels(labels, student_logits, instead=_INSTEAD)
  valid = log_space.counted(mask, labels.shape, labels, ignore)
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  split = log_space.others(labels, keep)
  odds = [log_space.target_log_odds(x, split) for x in (student, teacher)]
  # Both odds of a masked label are -inf, and 0 * -inf is NaN.
  log_student = jnp.where(split.labelled, odds[0], 0)
  target = -jax.nn.sigmoid(odds[1]) * jax.nn.log_sigmoid(log_student)
  by = contract.over_classes(temperature)
  non_target = log_space.cross_entropy(
    log_space.log_probabilities(teacher / by, split.kept),
    log_space.log_probabilities(student / by, split.kept),
  )
  losses = target + gamma * temperature**2 * non_target
  return log_space.of_positions(losses, valid, labels, student.shape[-1])
