"""Transforms that ask the student for all of the teacher's predictions."""

from kdjax.losses.response.dense import dense_soft_target_loss
from kdjax.losses.response.divergences import (
  forward_kl_loss,
  generalised_jensen_shannon_loss,
  reverse_kl_loss,
)
from kdjax.losses.response.soft_targets import soft_target_loss
from kdjax.losses.response.standardised import standardised_soft_target_loss
from kdjax.transforms import base
from kdjax.transforms.response import checks, per_example


def soft_targets(*, temperature: float = 4.0) -> base.LossTransform:
  """`kdjax.losses.soft_target_loss` on the logits.

  Args:
    temperature: Above 0. The default is what the field uses on CIFAR.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.
  """
  return _divergence(soft_target_loss, temperature)


def standardised_soft_targets(
  *, temperature: float = 2.0
) -> base.LossTransform:
  """`kdjax.losses.standardised_soft_target_loss` on the logits.

  The authors weight it 9, beside 0.1 of `labels`.

  Args:
    temperature: Softens the standardised logits. Above 0.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024.
  """
  return _divergence(standardised_soft_target_loss, temperature)


def forward_kl(*, temperature: float = 1.0) -> base.LossTransform:
  """`kdjax.losses.forward_kl_loss`: soft targets without `temperature**2`.

  Language models take it at weight 1, without cross-entropy.

  Args:
    temperature: Softens both predictions. Above 0.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.
  """
  return _divergence(forward_kl_loss, temperature)


def reverse_kl(*, temperature: float = 1.0) -> base.LossTransform:
  """`kdjax.losses.reverse_kl_loss` on the logits.

  Language models take it at weight 1, without cross-entropy.

  Args:
    temperature: Softens both predictions. Above 0.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023, section 2.1.
  """
  return _divergence(reverse_kl_loss, temperature)


def generalised_jensen_shannon(
  *, beta: float = 0.5, temperature: float = 1.0
) -> base.LossTransform:
  """`kdjax.losses.generalised_jensen_shannon_loss` on the logits (GKD).

  The authors take it at weight 1, without cross-entropy.

  Args:
    beta: Share of the teacher in the mixture; exactly 0 gives the forward and
      exactly 1 the reverse KL.
    temperature: Softens both predictions. Above 0.

  Raises:
    ValueError: if `beta` is not from 0 to 1 or the temperature not positive;
      from `init`, if student and teacher have different numbers of classes.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023.
  """
  checks.check_fraction('beta', beta)
  return _divergence(generalised_jensen_shannon_loss, temperature, beta=beta)


def dense_soft_targets(
  *,
  student: str = 'logits',
  teacher: str = 'logits',
  temperature: float = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.dense_soft_target_loss`: a prediction per position.

  Weight 10 beside the cross-entropy in the paper.

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
  base.check_positive('temperature', temperature)

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
    losses = dense_soft_target_loss(
      base.without_padding(student_outputs[student], batch),
      base.without_padding(teacher_outputs[teacher], batch),
      temperature=temperature,
      mask=None if mask is None else batch[mask],
    )
    return base.batch_mean(losses, batch)

  return base.stateless(apply)._replace(init=init)


def _divergence(loss, temperature: float, **more: float) -> base.LossTransform:
  """A per-example loss of both networks' logits that has a temperature."""
  base.check_positive('temperature', temperature)

  def apply(student, teacher, batch):
    del batch
    return loss(student, teacher, temperature=temperature, **more)

  return per_example.of_both(apply)
