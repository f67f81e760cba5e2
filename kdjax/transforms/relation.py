"""Transforms of losses that couple the examples of a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import chex

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.bound import bound, with_numbers
from kdjax.transforms.numbers import Number, accepts

_EMBEDDINGS = {'student': 'embedding', 'teacher': 'embedding'}


def of_embeddings(
  loss: Callable, *, student: str, teacher: str, **hyperparameters: Any
) -> base.LossTransform:
  """Any loss that couples the examples by a tap of each network, flattened.

  >>> teacher = {'embedding': jnp.ones((2, 2))}
  >>> term = of_embeddings(
  ...   losses.probabilistic_transfer_loss,
  ...   student='embedding',
  ...   teacher='embedding',
  ... )
  >>> value(term, {'embedding': jnp.eye(2)}, teacher)
  0.0294

  Args:
    loss: `(student, teacher, *, mask, **hyperparameters) -> scalar` of
      embeddings `[batch, features]`. The mask, `[batch]` or None, is zero for
      padding.
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.
    **hyperparameters: Numbers, schedules of the step, or `learned`.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if there is no
      such tap; lists those there are.
  """

  def make(values):
    def apply(student_outputs, teacher_outputs, batch):
      return loss(
        _rows(student_outputs[student]),
        _rows(teacher_outputs[teacher]),
        mask=batch.get('weight'),
        **values,
      )

    return stateless.stateless(apply, student=(student,), teacher=(teacher,))

  return with_numbers(make, loss, hyperparameters)


@bound(of_embeddings, losses.relational_distance_loss, **_EMBEDDINGS)
def relational_distance():
  """`kdjax.losses.relational_distance_loss` of two taps, flattened.

  >>> student = {'embedding': jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])}
  >>> teacher = {'embedding': jnp.array([[0.0], [1.0], [2.0]])}
  >>> value(relational_distance(), student, teacher)
  0.0717
  """


@bound(of_embeddings, losses.relational_angle_loss, **_EMBEDDINGS)
def relational_angle():
  """`kdjax.losses.relational_angle_loss` of two taps, flattened.

  >>> student = {'embedding': jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])}
  >>> teacher = {'embedding': jnp.array([[0.0], [1.0], [2.0]])}
  >>> value(relational_angle(), student, teacher)
  0.1296
  """


@bound(of_embeddings, losses.similarity_preserving_loss)
def similarity_preserving():
  """`kdjax.losses.similarity_preserving_loss` of two taps, flattened (SP).

  The usual weight is 3000 for the last stages, before pooling
  (`student='stage3', teacher='stage3'` of a CIFAR ResNet).

  >>> term = similarity_preserving(student='stage3', teacher='stage3')
  >>> value(term, {'stage3': jnp.eye(2)}, {'stage3': jnp.ones((2, 2))})
  0.2929
  """


@bound(of_embeddings, losses.probabilistic_transfer_loss, **_EMBEDDINGS)
def probabilistic_transfer():
  """`kdjax.losses.probabilistic_transfer_loss` of two taps, flattened (PKT).

  The usual weight is 30000, for the embeddings.

  >>> teacher = {'embedding': jnp.ones((2, 2))}
  >>> value(probabilistic_transfer(), {'embedding': jnp.eye(2)}, teacher)
  0.0294
  """


@bound(of_embeddings, losses.linear_cka_loss, **_EMBEDDINGS)
def linear_cka():
  """`kdjax.losses.linear_cka_loss` of two taps: 1 - alignment, to minimise.

  A measure first; there is no usual weight.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> value(linear_cka(), {'embedding': student}, {'embedding': student[:, :1]})
  0.2094
  """


@bound(
  of_embeddings, losses.rbf_cka_loss, student='embedding', teacher='embedding'
)
def rbf_cka():
  """`kdjax.losses.rbf_cka_loss` of two taps: 1 - alignment, to minimise.

  A measure first; there is no usual weight.

  >>> student = {'embedding': jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])}
  >>> teacher = {'embedding': jnp.array([[0.0], [1.0], [2.0]])}
  >>> value(rbf_cka(), student, teacher)
  0.2558
  """


@accepts(
  vertex_weight=contract.NOT_NEGATIVE,
  edge_weight=contract.NOT_NEGATIVE,
  transformation_weight=contract.NOT_NEGATIVE,
)
def instance_relation_graph(
  *,
  student_layers: Sequence[str],
  teacher_layers: Sequence[str],
  vertex_weight: Number = 0.1,
  edge_weight: Number = 5.0,
  transformation_weight: Number = 5.0,
) -> base.LossTransform:
  """`kdjax.losses.instance_relation_graph_loss` of logits and layers (IRG).

  Weight 1 beside the cross-entropy: its own weights are those of its three
  parts. The usual layers are two stages and the embedding.

  >>> taps = ['embedding']
  >>> term = instance_relation_graph(student_layers=taps, teacher_layers=taps)
  >>> student = {'logits': jnp.eye(2), 'embedding': jnp.eye(2)}
  >>> value(term, student, student | {'logits': jnp.zeros((2, 2))})
  0.05

  Args:
    student_layers: Names of the student's taps, in the network's order.
    teacher_layers: Names of as many taps of the teacher's.
    vertex_weight: Weight of the logits' difference. Not negative.
    edge_weight: Weight of the distances between examples. Not negative.
    transformation_weight: Weight of how far each example moves from one layer
      to the next. Not negative.

  Raises:
    ValueError: if a weight is negative, there are no layers or not as many for
      both; from `init`, if there is no such tap or the networks have different
      numbers of classes.

  References:
    Liu et al., `Knowledge Distillation via Instance Relationship Graph
    <https://doi.org/10.1109/CVPR.2019.00726>`_, 2019.
  """
  _check_layers(student_layers, teacher_layers)
  weights = {
    'vertex_weight': vertex_weight,
    'edge_weight': edge_weight,
    'transformation_weight': transformation_weight,
  }

  def apply(student_outputs, teacher_outputs, batch):
    return losses.instance_relation_graph_loss(
      student_outputs['logits'],
      teacher_outputs['logits'],
      [student_outputs[name] for name in student_layers],
      [teacher_outputs[name] for name in teacher_layers],
      mask=batch.get('weight'),
      **weights,
    )

  names = stateless.owning_nothing(tuple(student_layers), tuple(teacher_layers))

  def init(key, student_outputs, teacher_outputs):
    base.check_same_classes(student_outputs, teacher_outputs)
    return names(key, student_outputs, teacher_outputs)

  return stateless.stateless(apply, init=init)


def _check_layers(
  student_layers: Sequence[str], teacher_layers: Sequence[str]
) -> None:
  """Raises ValueError unless both are sequences of as many names."""
  for name, layers in (
    ('student_layers', student_layers),
    ('teacher_layers', teacher_layers),
  ):
    if isinstance(layers, str) or not layers:
      raise ValueError(f'{name} must be one or more names, got {layers!r}.')
  if len(student_layers) != len(teacher_layers):
    raise ValueError(
      'student_layers and teacher_layers must be as many, got '
      f'{student_layers!r} and {teacher_layers!r}.'
    )


def _rows(x: chex.Array) -> chex.Array:
  return x.reshape(x.shape[0], -1)
