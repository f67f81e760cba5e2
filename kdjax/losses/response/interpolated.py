"""Targets between the student's own prediction and the teacher's."""

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.response import log_space


@contract.promises(
  'position',
  progress=contract.each(contract.FRACTION),
  temperature=contract.each(contract.POSITIVE),
)
def interpolated_target_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  progress: chex.Numeric,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Forward KL to a target that moves from student to teacher (TAID).

  `KL(softmax(target / temperature) || softmax(student / temperature))` with
  `target = (1 - progress) * student + progress * teacher`, logits, of which the
  student's part has no gradient: the student follows a target that it does not
  pull. (That stop is part of the definition; without it the gradient would be
  another.) The gradient by the student is then the difference of student and
  target, and grows with `progress`: at 0 the loss is 0, at 1 it is
  `forward_kl_loss`. There is no factor `temperature**2`.

  The authors let `progress` grow from 0.4 to 1 over the training, at least
  linearly: `optax.linear_schedule(0.4, 1.0, steps)`, or
  `kdjax.transforms.adaptive_interpolated_targets`.

  Never negative, and accurate to the last digits however alike the predictions
  are. A class that either network masks is left out of both. Time and memory
  `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> loss = interpolated_target_loss(logits[:, ::-1], logits, progress=0.4)
  >>> print(f'{loss[0]:.4f}')
  0.0443

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    progress: Share of the teacher in the target's logits, from 0 to 1. One
      number, or one of each example; may be traced.
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
    Shing et al., `TAID: Temporally Adaptive Interpolated Distillation for
    Efficient Knowledge Transfer in Language Models
    <https://arxiv.org/abs/2501.16937>`_, 2025, section 3.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  by = contract.over_classes(temperature)
  share = contract.over_classes(progress)
  fixed = jax.lax.stop_gradient(student)
  target = fixed + share * (teacher - fixed)
  # Student less target; the second part is 0 and carries the gradient.
  difference = share * (fixed - teacher) + (student - fixed)
  losses = log_space.divergence(
    target / by, student / by, difference / by, keep
  )
  return log_space.of_positions(losses, valid)
