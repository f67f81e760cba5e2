"""Transforms that contrast each example with others: CRD, within the batch.

Both couple the examples of a batch.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from kdjax.losses import contract
from kdjax.losses.relation import negatives as sampling
from kdjax.losses.relation import rows
from kdjax.losses.relation.contrastive import in_batch_contrastive_loss
from kdjax.losses.relation.contrastive_representation import (
  ContrastMemory,
  contrastive_representation_loss,
  init_contrast_memory,
)
from kdjax.transforms import axes, base, embeddings
from kdjax.transforms.numbers import Number, accepts


class ContrastState(NamedTuple):
  """The state of `contrastive_representation` from step to step.

  Attributes:
    memory: Embeddings of every training example, and the constants.
    key: Raw data of the key that negatives are drawn with, uint32.
  """

  memory: ContrastMemory
  key: jax.Array


@accepts(temperature=contract.POSITIVE)
def in_batch_contrastive(
  *,
  student: str = 'embedding',
  teacher: str = 'embedding',
  temperature: Number = 0.07,
  symmetric: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.in_batch_contrastive_loss` of two taps, flattened.

  Where their sizes differ, a dense layer that trains with the student brings
  the student's to the teacher's. There is no usual weight.

  >>> outputs = {'embedding': jnp.eye(2)}
  >>> value(in_batch_contrastive(temperature=1.0), outputs, outputs)
  0.3133

  Args:
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.
    temperature: Divides the cosines. Above 0.
    symmetric: Both directions instead of student to teacher.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if there is no
      such tap.

  References:
    van den Oord et al., `Representation Learning with Contrastive Predictive
    Coding <https://arxiv.org/abs/1807.03748>`_, 2018, equation 4.
  """

  def init(key, student_outputs, teacher_outputs):
    base.check_name(student, student_outputs, 'student')
    base.check_name(teacher, teacher_outputs, 'teacher')
    source, target = student_outputs[student], teacher_outputs[teacher]
    if embeddings.size(source) == embeddings.size(target):
      return base.LossVariables()
    return base.LossVariables(
      {'student': embeddings.dense(key, source, embeddings.size(target))}
    )

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    mask = batch.get('weight')
    source, target = embeddings.of_both(
      variables.params, student_outputs[student], teacher_outputs[teacher], mask
    )
    value = in_batch_contrastive_loss(
      source,
      target,
      temperature=temperature,
      symmetric=symmetric,
      mask=mask,
    )
    return value, variables.state, {}

  return axes.coupled(init, apply)


@accepts(
  examples=contract.COUNT,
  negatives=contract.COUNT,
  dim=contract.COUNT,
  temperature=contract.POSITIVE,
  momentum=contract.FRACTION,
)
def contrastive_representation(
  *,
  examples: int,
  labels: chex.ArrayNumpy | None = None,
  student: str = 'embedding',
  teacher: str = 'embedding',
  negatives: int = 16384,
  dim: int = 128,
  temperature: Number = 0.07,
  momentum: Number = 0.5,
) -> base.LossTransform:
  """`kdjax.losses.contrastive_representation_loss` with what it needs (CRD).

  Both taps are flattened, go through a dense layer each, and are normalised;
  both layers train with the student. The memory (`2 * examples * dim` numbers)
  and a key are state; the table of classes to draw negatives from is a
  constant of the program, which no checkpoint holds. The negatives of a step
  depend on the key, the step and the global batch. Reads `batch['index']`,
  each example's place in the training set, and with `labels`
  `batch['label']`. The usual weight is 0.8.

  >>> term = contrastive_representation(examples=10, negatives=4, dim=8)
  >>> student = {'embedding': jnp.ones((2, 3))}
  >>> teacher = {'embedding': jnp.ones((2, 5))}
  >>> shapes(term, student, teacher)
  [(8,), (3, 8), (8,), (5, 8)]

  Args:
    examples: How many there are in the training set.
    labels: Class of every training example, `[examples]`, by index: negatives
      are of other classes. None: negatives are any other examples.
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.
    negatives: How many for each example.
    dim: Size of the embeddings.
    temperature: Divides the inner products. Above 0.
    momentum: Share of the old memory in the new, 0 to 1.

  Raises:
    ValueError: if a hyperparameter is not as above or `labels` are not
      `examples` integers; from `init`, if there is no such tap.

  References:
    Tian et al., `Contrastive Representation Distillation
    <https://arxiv.org/abs/1910.10699>`_, 2020.
  """
  table = _negative_table(examples, labels)
  init_params = embeddings.initialiser(student, teacher, dim)

  def init(key, student_outputs, teacher_outputs):
    key, memory_key, sample_key = jax.random.split(key, 3)
    params, _ = init_params(key, student_outputs, teacher_outputs)
    dtype = params['student']['kernel'].dtype
    memory = init_contrast_memory(memory_key, examples, dim, dtype=dtype)
    state = ContrastState(memory, jax.random.key_data(sample_key))
    return base.LossVariables(params, state)

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    params, state = variables
    index, mask = batch['index'], batch.get('weight')
    sample_index = sampling.sample_negatives(
      jax.random.fold_in(jax.random.wrap_key_data(state.key), step),
      index if labels is None else batch['label'],
      index,
      jax.tree.map(jnp.asarray, table),
      negatives=negatives,
    )
    source, target = embeddings.of_both(
      params, student_outputs[student], teacher_outputs[teacher], mask
    )
    value, memory = contrastive_representation_loss(
      rows.unit(source),
      rows.unit(target),
      state.memory,
      index,
      sample_index,
      temperature=temperature,
      momentum=momentum,
      mask=mask,
    )
    return value, state._replace(memory=memory), {}

  return axes.coupled(init, apply)


def _negative_table(
  examples: int, labels: chex.ArrayNumpy | None
) -> sampling.NegativeTable:
  """The training set by class, in NumPy; every example its own without."""
  classes = np.arange(examples) if labels is None else np.asarray(labels)
  if classes.shape != (examples,) or not np.issubdtype(
    classes.dtype, np.integer
  ):
    raise ValueError(
      f'labels must be {examples} integers, one per example, got '
      f'{classes.dtype} of shape {classes.shape}.'
    )
  if classes.min() < 0:
    raise ValueError(f'labels must not be negative, got {classes.min()}.')
  table = sampling.negative_table(
    jnp.asarray(classes, jnp.int32), int(classes.max()) + 1
  )
  return jax.tree.map(lambda x: np.asarray(x, np.int32), table)
