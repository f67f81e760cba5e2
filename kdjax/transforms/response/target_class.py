"""Transforms that treat the labelled class apart from the others."""

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


@accepts(
  alpha=contract.NOT_NEGATIVE,
  beta=contract.NOT_NEGATIVE,
  temperature=contract.POSITIVE,
)
def decoupled(
  *,
  alpha: Number = 1.0,
  beta: Number = 8.0,
  temperature: Number = 4.0,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.decoupled_loss` on the logits (DKD).

  The authors weight it 1 beside 1 of `labels`, the former rising linearly from
  0 over the first 20 epochs: give `weighted_sum` a schedule. Their `beta` on
  CIFAR-100 is 2 (ResNet-56 and -110), 6 (wide ResNets, VGG) or 8 (ResNet-32x4);
  on ImageNet 0.5 with temperature 1.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> value(decoupled(temperature=1.0), student, teacher, label=jnp.array([0]))
  1.051

  Args:
    alpha: Weight of the target part. Not negative.
    beta: Weight of the non-target part. Not negative.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.
    ignore: A label, such as -100 or 255, of positions to leave out.

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

  def loss(student, teacher, batch, valid):
    parts = losses.decoupled_parts(
      base.without_padding(student['logits'], batch),
      base.without_padding(teacher['logits'], batch),
      batch['label'],
      temperature=temperature,
      ignore=ignore,
      mask=valid,
    )
    whole = alpha * parts.target + beta * parts.non_target
    return {
      'loss': whole,
      'target': parts.target,
      'non_target': parts.non_target,
    }

  return per_example.averaged(
    loss, stateless.of_same_classes, mask=mask, ignore=ignore
  )


@accepts(gamma=contract.NOT_NEGATIVE, temperature=contract.POSITIVE)
def normalised_soft_targets(
  *,
  gamma: Number = 1.5,
  temperature: Number = 1.0,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.normalised_loss` on the logits (NKD).

  The authors weight it 1, beside 1 of `labels`; the defaults are theirs for
  ImageNet. For CIFAR-100 they have `gamma` 3.5 and temperature 3.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> value(normalised_soft_targets(), student, teacher, label=jnp.array([0]))
  1.9695

  Args:
    gamma: Weight of the non-target term. Not negative.
    temperature: Softens the predictions of the other classes. Above 0.
    mask: As for `soft_targets`.
    ignore: A label, such as -100 or 255, of positions to leave out.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if student
      and teacher have different numbers of classes.

  References:
    Yang et al., `From Knowledge Distillation to Self-Knowledge Distillation: A
    Unified Approach with Normalized Loss and Customized Soft Labels
    <https://arxiv.org/abs/2303.13005>`_, 2023.
  """

  def loss(student, teacher, batch, valid):
    return losses.normalised_loss(
      student,
      teacher,
      batch['label'],
      gamma=gamma,
      temperature=temperature,
      ignore=ignore,
      mask=valid,
    )

  return per_example.of_both(loss, mask=mask, ignore=ignore)


@accepts(temperature=contract.POSITIVE)
def weighted_soft_labels(
  *,
  temperature: Number = 2.0,
  mask: str | None = None,
  ignore: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.weighted_soft_label_loss` on the logits (WSLD).

  The authors weight it 2.5, beside 1 of `labels`, on ImageNet; on CIFAR-100
  2.25 with temperature 4.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> value(weighted_soft_labels(), student, teacher, label=jnp.array([0]))
  4.1522

  Args:
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.
    ignore: A label, such as -100 or 255, of positions to leave out.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Zhou et al., `Rethinking Soft Labels for Knowledge Distillation: A
    Bias-Variance Tradeoff Perspective <https://arxiv.org/abs/2102.00650>`_,
    2021.
  """

  def loss(student, teacher, batch, valid):
    return losses.weighted_soft_label_loss(
      student,
      teacher,
      batch['label'],
      temperature=temperature,
      ignore=ignore,
      mask=valid,
    )

  return per_example.of_both(loss, mask=mask, ignore=ignore)
