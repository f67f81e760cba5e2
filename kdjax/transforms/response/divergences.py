"""Transforms that ask the student for all of the teacher's predictions."""

from collections.abc import Callable
from typing import Any

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


@accepts(temperature=contract.POSITIVE)
def soft_targets(
  *, temperature: Number = 4.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.soft_target_loss` on the logits.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> term = soft_targets(temperature=1.0)
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2749

  Args:
    temperature: Above 0. The default is what the field uses on CIFAR.
    mask: Name of the batch's entry `[batch, ...]` that is zero at tokens or
      positions to leave out of logits `[batch, ..., classes]`, or None.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.
  """
  return _divergence(losses.soft_target_loss, mask, temperature=temperature)


@accepts(temperature=contract.POSITIVE)
def standardised_soft_targets(
  *, temperature: Number = 2.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.standardised_soft_target_loss` on the logits.

  The authors weight it 9, beside 0.1 of `labels`.

  >>> student = {'logits': jnp.array([[3.0, 2.0, 1.0]])}
  >>> teacher = {'logits': jnp.array([[5.0, 7.0, 9.0]])}
  >>> value(standardised_soft_targets(), student, teacher)
  1.2806

  Args:
    temperature: Softens the standardised logits. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Sun et al., `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_, 2024.
  """
  loss = losses.standardised_soft_target_loss
  return _divergence(loss, mask, temperature=temperature)


@accepts(temperature=contract.POSITIVE)
def forward_kl(
  *, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.forward_kl_loss`: soft targets without `temperature**2`.

  Language models take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(forward_kl(), student, teacher)
  0.069

  Args:
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.
  """
  return _divergence(losses.forward_kl_loss, mask, temperature=temperature)


@accepts(temperature=contract.POSITIVE)
def reverse_kl(
  *, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.reverse_kl_loss` on the logits.

  Language models take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(reverse_kl(), student, teacher)
  0.0702

  Args:
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Gu et al., `MiniLLM: Knowledge Distillation of Large Language Models
    <https://arxiv.org/abs/2306.08543>`_, 2023, section 2.1.
  """
  return _divergence(losses.reverse_kl_loss, mask, temperature=temperature)


@accepts(beta=contract.FRACTION, temperature=contract.POSITIVE)
def generalised_jensen_shannon(
  *, beta: Number = 0.5, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.generalised_jensen_shannon_loss` on the logits (GKD).

  The authors take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(generalised_jensen_shannon(), student, teacher)
  0.0173

  Args:
    beta: Share of the teacher in the mixture; exactly 0 gives the forward and
      exactly 1 the reverse KL.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if `beta` is not from 0 to 1 or the temperature not positive;
      from `init`, if student and teacher have different numbers of classes.

  References:
    Agarwal et al., `On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes <https://arxiv.org/abs/2306.13649>`_, 2023.
  """
  loss = losses.generalised_jensen_shannon_loss
  return _divergence(loss, mask, beta=beta, temperature=temperature)


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


def _divergence(
  loss: Callable, mask: str | None, **hyperparameters: Any
) -> base.LossTransform:
  """A per-example loss of both networks' logits."""

  def of_logits(student, teacher, batch, valid):
    del batch
    return loss(student, teacher, mask=valid, **hyperparameters)

  return per_example.of_both(of_logits, mask=mask)
