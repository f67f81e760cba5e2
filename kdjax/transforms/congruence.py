"""Transforms of correlation congruence, which trains linear embeddings.

Both couple the examples of a batch.
"""

from kdjax.losses import contract
from kdjax.losses.relation.correlation_congruence import (
  correlation_congruence_loss,
  kernel_correlation_congruence_loss,
)
from kdjax.transforms import axes, base, embeddings
from kdjax.transforms.numbers import Number, accepts


@accepts(dim=contract.COUNT)
def correlation_congruence(
  *, student: str = 'embedding', teacher: str = 'embedding', dim: int = 128
) -> base.LossTransform:
  """`kdjax.losses.correlation_congruence_loss` of linear embeddings (CC).

  Both taps are flattened and go through a dense layer each; both layers train
  with the student, as in RepDistiller. The usual weight is 0.02.

  >>> student = {'embedding': jnp.ones((2, 3))}
  >>> teacher = {'embedding': jnp.ones((2, 5))}
  >>> shapes(correlation_congruence(dim=8), student, teacher)
  [(8,), (3, 8), (8,), (5, 8)]

  Args:
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.
    dim: Size of the embeddings.

  Raises:
    ValueError: if `dim` is no positive integer; from `init`, if there is no
      such tap.

  References:
    Peng et al., `Correlation Congruence for Knowledge Distillation
    <https://arxiv.org/abs/1904.01802>`_, 2019.
  """

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    mask = batch.get('weight')
    source, target = embeddings.of_both(
      variables.params, student_outputs[student], teacher_outputs[teacher], mask
    )
    value = correlation_congruence_loss(
      source,
      target,
      mask=mask,
    )
    return value, variables.state, {}

  return axes.coupled(embeddings.initialiser(student, teacher, dim), apply)


@accepts(dim=contract.COUNT, gamma=contract.POSITIVE, max_p=contract.COUNT)
def kernel_correlation_congruence(
  *,
  student: str = 'embedding',
  teacher: str = 'embedding',
  dim: int | None = None,
  gamma: Number = 0.4,
  max_p: int = 2,
  normalise: bool = True,
  squared: bool = True,
) -> base.LossTransform:
  """`kdjax.losses.kernel_correlation_congruence_loss` of two taps (CC).

  >>> student = {'embedding': jnp.eye(2)}
  >>> teacher = {'embedding': jnp.ones((2, 2))}
  >>> value(kernel_correlation_congruence(), student, teacher)
  0.1266

  Args:
    student: Name of the student's tap; flattened.
    teacher: Name of the teacher's tap; flattened.
    dim: Size of linear embeddings of both, which train with the student; None
      compares the taps themselves, whose sizes may differ.
    gamma: Inverse width of the kernel. Above 0.
    max_p: Order of the kernel's Taylor series. At least 1.
    normalise: Give every row the length 1 first.
    squared: Square the Frobenius norm.

  Raises:
    ValueError: if a hyperparameter is not as above; from `init`, if there is no
      such tap.

  References:
    Peng et al., `Correlation Congruence for Knowledge Distillation
    <https://arxiv.org/abs/1904.01802>`_, 2019, equations 6 and 11.
  """

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    mask = batch.get('weight')
    source, target = embeddings.of_both(
      variables.params, student_outputs[student], teacher_outputs[teacher], mask
    )
    value = kernel_correlation_congruence_loss(
      source,
      target,
      gamma=gamma,
      max_p=max_p,
      normalise=normalise,
      squared=squared,
      mask=mask,
    )
    return value, variables.state, {}

  return axes.coupled(embeddings.initialiser(student, teacher, dim), apply)
