"""The relation losses on the golden cases, with their hyperparameters.

A case is `f(student, teacher, extra) -> loss`. `crd` returns the loss and what
the case calls `after`, by name. `COMPARED` names the rows of a gradient that a
case compares, where it is not all of them.
"""

import jax.numpy as jnp
import numpy as np

from kdjax.losses.relation import (
  angles,
  contrastive_representation,
  correlation_congruence,
  distances,
  probabilistic,
  rows,
  similarity,
)


def _rkd_distance(student, teacher, extra):
  del extra
  return distances.relational_distance_loss(student['e'], teacher['e'])


def _rkd_angle(student, teacher, extra):
  del extra
  return angles.relational_angle_loss(student['e'], teacher['e'])


def _rkd_25_50(student, teacher, extra):
  return 25.0 * _rkd_distance(student, teacher, extra) + (
    50.0 * _rkd_angle(student, teacher, extra)
  )


def _similarity_preserving(student, teacher, extra):
  del extra
  return similarity.similarity_preserving_loss(student['f'], teacher['f'])


def _correlation_congruence(student, teacher, extra):
  del extra
  return correlation_congruence.correlation_congruence_loss(
    student['e'], teacher['e']
  )


def _correlation_congruence_gaussian(student, teacher, extra):
  del extra
  return correlation_congruence.kernel_correlation_congruence_loss(
    student['e'],
    teacher['e'],
    gamma=0.4,
    max_p=2,
    normalise=False,
    squared=False,
  )


def _pkt(student, teacher, extra):
  del extra
  return probabilistic.probabilistic_transfer_loss(student['e'], teacher['e'])


def _crd(student, teacher, extra):
  memory = contrastive_representation.ContrastMemory(
    extra['memory_student'],
    extra['memory_teacher'],
    jnp.full(2, -jnp.inf, extra['memory_student'].dtype),
  )
  loss, memory = contrastive_representation.contrastive_representation_loss(
    rows.unit(student['e'] @ extra['w_student'] + extra['b_student'][None]),
    rows.unit(teacher['e'] @ extra['w_teacher'] + extra['b_teacher'][None]),
    memory,
    extra['index'],
    extra['sample_index'],
    temperature=0.07,
    momentum=0.5,
  )
  return loss, {
    'memory_student': memory.student,
    'memory_teacher': memory.teacher,
    'z': jnp.exp(memory.log_z),
  }


CASES = {
  'rkd_distance': _rkd_distance,
  'rkd_angle': _rkd_angle,
  'rkd_25_50': _rkd_25_50,
  'rkd_distance_duplicates': _rkd_distance,
  'similarity_preserving': _similarity_preserving,
  'correlation_congruence': _correlation_congruence,
  'correlation_congruence_gaussian': _correlation_congruence_gaussian,
  'pkt': _pkt,
  'crd': _crd,
}


def _without_duplicates(student, teacher):
  """Rows that no other row equals, in the student's or the teacher's."""
  compared = np.ones(len(student['e']), bool)
  for x in (np.asarray(student['e']), np.asarray(teacher['e'])):
    equal = (x[:, None] == x[None]).all(axis=-1)
    compared &= equal.sum(axis=1) == 1
  return compared


COMPARED = {'rkd_distance_duplicates': _without_duplicates}
