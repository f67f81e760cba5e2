"""Transforms that treat the labelled class apart from the others."""

from kdjax.losses.response.decoupled import decoupled_parts
from kdjax.losses.response.normalised import normalised_loss
from kdjax.losses.response.weighted_soft_labels import weighted_soft_label_loss
from kdjax.transforms import base
from kdjax.transforms.response import checks, per_example


def decoupled(
  *, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0
) -> base.LossTransform:
  """`kdjax.losses.decoupled_loss` on the logits (DKD).

  The authors weight it 1 beside 1 of `labels`, the former rising linearly from
  0 over the first 20 epochs: give `weighted_sum` a schedule. Their `beta` on
  CIFAR-100 is 2 (ResNet-56 and -110), 6 (wide ResNets, VGG) or 8 (ResNet-32x4);
  on ImageNet 0.5 with temperature 1.

  Args:
    alpha: Weight of the target part. Not negative.
    beta: Weight of the non-target part. Not negative.
    temperature: Softens both predictions. Above 0.

  Returns:
    A transform with the metrics `target` and `non_target`, both parts before
    their weights.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if student
      and teacher have different numbers of classes.

  References:
    Zhao et al., `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, 2022.
  """
  checks.check_not_negative('alpha', alpha)
  checks.check_not_negative('beta', beta)
  base.check_positive('temperature', temperature)

  def apply(variables, student, teacher, batch, step):
    del step
    parts = decoupled_parts(
      base.without_padding(student['logits'], batch),
      base.without_padding(teacher['logits'], batch),
      batch['label'],
      temperature=temperature,
    )
    target = base.batch_mean(parts.target, batch)
    non_target = base.batch_mean(parts.non_target, batch)
    value = alpha * target + beta * non_target
    metrics = {'target': target, 'non_target': non_target}
    return value, variables.state, metrics

  return base.LossTransform(per_example.init_same_classes, apply)


def normalised_soft_targets(
  *, gamma: float = 1.5, temperature: float = 1.0
) -> base.LossTransform:
  """`kdjax.losses.normalised_loss` on the logits (NKD).

  The authors weight it 1, beside 1 of `labels`; the defaults are theirs for
  ImageNet. For CIFAR-100 they have `gamma` 3.5 and temperature 3.

  Args:
    gamma: Weight of the non-target term. Not negative.
    temperature: Softens the predictions of the other classes. Above 0.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if student
      and teacher have different numbers of classes.

  References:
    Yang et al., `From Knowledge Distillation to Self-Knowledge Distillation: A
    Unified Approach with Normalized Loss and Customized Soft Labels
    <https://arxiv.org/abs/2303.13005>`_, 2023.
  """
  checks.check_not_negative('gamma', gamma)
  base.check_positive('temperature', temperature)

  def loss(student, teacher, batch):
    return normalised_loss(
      student, teacher, batch['label'], gamma=gamma, temperature=temperature
    )

  return per_example.of_both(loss)


def weighted_soft_labels(*, temperature: float = 2.0) -> base.LossTransform:
  """`kdjax.losses.weighted_soft_label_loss` on the logits (WSLD).

  The authors weight it 2.5, beside 1 of `labels`, on ImageNet; on CIFAR-100
  2.25 with temperature 4.

  Args:
    temperature: Softens both predictions. Above 0.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Zhou et al., `Rethinking Soft Labels for Knowledge Distillation: A
    Bias-Variance Tradeoff Perspective <https://arxiv.org/abs/2102.00650>`_,
    2021.
  """
  base.check_positive('temperature', temperature)

  def loss(student, teacher, batch):
    return weighted_soft_label_loss(
      student, teacher, batch['label'], temperature=temperature
    )

  return per_example.of_both(loss)
