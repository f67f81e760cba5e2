"""Soft targets of a prediction per position, each example counting alike."""

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts


@accepts(temperature=contract.POSITIVE)
def dense_soft_targets(
  *,
  student: str = 'logits',
  teacher: str = 'logits',
  temperature: Number = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.dense_soft_target_loss`: a prediction per position.

  Weight 10 beside the cross-entropy in the paper. Every example counts alike,
  however many of its positions count; `soft_targets` with a mask counts every
  position alike.

  >>> logits = jnp.log(jnp.array([[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]]))
  >>> student, teacher = {'logits': logits[..., ::-1]}, {'logits': logits}
  >>> value(dense_soft_targets(), student, teacher)
  0.2749

  Args:
    student: Name of the student's predictions, `[batch, ..., classes]`.
    teacher: Name of the teacher's predictions, of the same shape.
    temperature: Softens both predictions. Above 0.
    mask: Name of the batch's entry of shape `[batch, ...]` that is zero at
      positions to leave out, or None.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if there is no
      such output or the shapes differ.

  References:
    Liu et al., `Structured Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/1903.04197>`_, 2019, the pixel-wise term.
  """

  def init(key, student_outputs, teacher_outputs):
    del key
    base.check_name(student, student_outputs, 'student')
    base.check_name(teacher, teacher_outputs, 'teacher')
    shapes = student_outputs[student].shape, teacher_outputs[teacher].shape
    if shapes[0] != shapes[1]:
      raise ValueError(
        f'dense_soft_targets needs outputs of one shape, got student '
        f'{student!r} of shape {shapes[0]} and teacher {teacher!r} of shape '
        f'{shapes[1]}.'
      )
    return base.LossVariables()

  def apply(student_outputs, teacher_outputs, batch):
    found = losses.dense_soft_target_loss(
      base.without_padding(student_outputs[student], batch),
      base.without_padding(teacher_outputs[teacher], batch),
      temperature=temperature,
      mask=None if mask is None else batch[mask],
    )
    return base.batch_mean(found, batch)

  return stateless.stateless(apply, couples=False, init=init)
