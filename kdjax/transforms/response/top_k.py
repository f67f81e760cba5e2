"""Transforms of losses on the teacher's best classes."""

from kdjax.losses.response.top_k import top_k_soft_target_loss
from kdjax.transforms import base


def top_k_soft_targets(*, temperature: float = 4.0) -> base.LossTransform:
  """`kdjax.losses.top_k_soft_target_loss` on the logits.

  The teacher's outputs must have `top_k_indices` and `top_k_log_probs`, as
  `kdjax.models.with_top_k` gives them, at the same temperature.

  Args:
    temperature: Above 0.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if the teacher
      has no such outputs.
  """
  base.check_positive('temperature', temperature)

  def apply(student, teacher, batch):
    losses = top_k_soft_target_loss(
      base.without_padding(student['logits'], batch),
      teacher['top_k_indices'],
      base.without_padding(teacher['top_k_log_probs'], batch),
      temperature=temperature,
    )
    return base.batch_mean(losses, batch)

  return base.stateless(
    apply,
    student=('logits',),
    teacher=('top_k_indices', 'top_k_log_probs'),
  )
