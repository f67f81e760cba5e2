"""Transforms of losses on logits that couple the examples of a batch."""

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts


@accepts(
  inter_weight=contract.NOT_NEGATIVE,
  intra_weight=contract.NOT_NEGATIVE,
  temperature=contract.POSITIVE,
)
def dist(
  *,
  inter_weight: Number = 1.0,
  intra_weight: Number = 1.0,
  temperature: Number = 1.0,
  scale_by_temperature: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.dist_loss` on the logits (DIST); couples the examples.

  The authors weight it 1, beside 1 of `labels`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> value(dist(), {'logits': logits[::-1]}, {'logits': logits})
  3.5952

  Args:
    inter_weight: Weight of the relations between classes. Not negative.
    intra_weight: Weight of the relations within a class. Not negative.
    temperature: Softens both predictions. Above 0.
    scale_by_temperature: Multiply by `temperature**2`, as the code does.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if student
      and teacher have different numbers of classes.

  References:
    Huang et al., `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_, 2022.
  """

  def apply(student, teacher, batch):
    return losses.dist_loss(
      student['logits'],
      teacher['logits'],
      inter_weight=inter_weight,
      intra_weight=intra_weight,
      temperature=temperature,
      scale_by_temperature=scale_by_temperature,
      mask=batch.get('weight'),
    )

  return stateless.stateless(apply, init=stateless.of_same_classes)


@accepts(tikhonov=contract.POSITIVE)
def direction(
  *, tikhonov: Number = 0.1, divide_by_classes: bool = False
) -> base.LossTransform:
  """`kdjax.losses.streamlined_direction_loss` (SKD); couples the examples.

  The authors weight it 0.5, beside 0.5 of `soft_targets` at temperature 4 and
  0.5 of `labels`. The numbers of classes may differ.

  >>> value(direction(), {'logits': jnp.eye(2)}, {'logits': jnp.ones((2, 2))})
  2.3355

  Args:
    tikhonov: Added to the diagonal of the covariance. Above 0.
    divide_by_classes: Divide the cosines by the number of classes.

  Raises:
    ValueError: if `tikhonov` is not positive.

  References:
    Streamlined Knowledge Distillation, CVPR 2026, the direction-wise loss.
  """

  def apply(student, teacher, batch):
    return losses.streamlined_direction_loss(
      student['logits'],
      teacher['logits'],
      tikhonov=tikhonov,
      divide_by_classes=divide_by_classes,
      mask=batch.get('weight'),
    )

  return stateless.stateless(apply, student=('logits',), teacher=('logits',))
