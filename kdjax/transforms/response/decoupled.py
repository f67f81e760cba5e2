"""Decoupled distillation: the labelled class apart from the others."""

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
