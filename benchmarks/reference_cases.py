"""The golden cases by the PyTorch losses, and where each of them has a kink.

A case is `f(student, teacher, extra) -> loss`, or `(loss, after)` for CRD; the
arguments are tensors by name. Hyperparameters are those of
`tests/data/reference_losses.json`.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.pytorch import feature, relation, response

Tensors = dict[str, Tensor]


def _on(name, loss, *extras, **hyperparameters):
  """A case of one array per network, then arrays from `extra`."""

  def case(student, teacher, extra):
    more = (extra[x] for x in extras)
    return loss(student[name], teacher[name], *more, **hyperparameters)

  return case


def _fsp(student, teacher, extra):
  del extra
  return feature.fsp_loss(
    (student['bottom'], student['top']), (teacher['bottom'], teacher['top'])
  )


def _activation_boundary(student, teacher, extra):
  del extra
  last = len(student) - 1
  return sum(
    0.5 ** (last - i)
    * 3
    / 1000
    * feature.activation_boundary_loss(student[f'f{i}'], teacher[f'f{i}'])
    for i in range(len(student))
  )


def _hierarchical_context(student, teacher, extra):
  del extra
  return sum(
    feature.hierarchical_context_loss(student[x], teacher[x]) for x in student
  )


def _crd(student, teacher, extra):
  """The first step, and what it leaves in the memory."""
  anchors, banks = {}, {}
  for network, e in (('student', student['e']), ('teacher', teacher['e'])):
    projected = e @ extra[f'w_{network}'] + extra[f'b_{network}']
    anchors[network] = torch.nn.functional.normalize(projected, dim=1)
    banks[f'memory_{network}'] = extra[f'memory_{network}'].clone()
  loss, z = relation.contrastive_representation_loss(
    **anchors,
    **banks,
    sample_index=extra['sample_index'],
    temperature=0.07,
  )
  for network, rows in anchors.items():
    relation.update_contrast_memory(
      banks[f'memory_{network}'], rows, extra['index'], momentum=0.5
    )
  return loss, {**banks, 'z': z}


_soft_target = functools.partial(_on, 'logits', response.soft_target_loss)
_dist = functools.partial(_on, 'logits', response.dist_loss, intra_weight=1.0)
_distance = _on('e', relation.relational_distance_loss)
_attention = _on('f', feature.attention_transfer_loss, p=2)

CASES = {
  'soft_target_T1': _soft_target(temperature=1.0),
  'soft_target_T4': _soft_target(temperature=4.0),
  'soft_target_T20': _soft_target(temperature=20.0),
  'dkd_a1_b8_T4': _on(
    'logits',
    response.decoupled_loss,
    'labels',
    alpha=1.0,
    beta=8.0,
    temperature=4.0,
  ),
  'dist_T1': _dist(inter_weight=1.0, temperature=1.0),
  'dist_T4_tau2': _dist(inter_weight=2.0, temperature=4.0),
  'logit_standardization_T2': _on(
    'logits', response.standardised_soft_target_loss, temperature=2.0
  ),
  'wsld_T2': _on(
    'logits', response.weighted_soft_label_loss, 'labels', temperature=2.0
  ),
  'skd_direction': _on(
    'logits', response.streamlined_direction_loss, tikhonov=0.1
  ),
  'hint_mse': _on('f', feature.hint_loss),
  'attention_transfer': _attention,
  'attention_transfer_pooled': _attention,
  'factor_transfer': _on('f', feature.factor_transfer_loss, p1=2, p2=1),
  'nst_poly': _on('f', feature.neuron_selectivity_loss, degree=2, offset=0.0),
  'fsp': _fsp,
  'activation_boundary': _activation_boundary,
  'overhaul_margin': _on('f', feature.overhaul_loss, 'margin'),
  'hierarchical_context': _hierarchical_context,
  'channel_wise_T2': _on('f', feature.channel_wise_loss, temperature=2.0),
  'pearson_feature': _on('f', feature.pearson_feature_loss),
  'inter_channel_correlation': _on('f', feature.inter_channel_loss),
  'vid': _on('f', feature.variational_information_loss, 'w0', 'w1', 'w2'),
  'rkd_distance': _distance,
  'rkd_angle': _on('e', relation.relational_angle_loss),
  'rkd_25_50': _on(
    'e', relation.relational_loss, distance_weight=25.0, angle_weight=50.0
  ),
  'rkd_distance_duplicates': _distance,
  'similarity_preserving': _on('f', relation.similarity_preserving_loss),
  'correlation_congruence': _on('e', relation.correlation_congruence_loss),
  'correlation_congruence_gaussian': _on(
    'e', relation.kernel_correlation_congruence_loss, gamma=0.4, max_p=2
  ),
  'pkt': _on('e', relation.probabilistic_transfer_loss),
  'crd': _crd,
}


def _factor_kinks(student, teacher, extra):
  del extra
  student, teacher = feature.to_common_size(student['f'], teacher['f'])
  maps = [feature.attention_map(f, p=2) for f in (student, teacher)]
  return [maps[0] - maps[1]]


def _boundary_kinks(student, teacher, extra):
  del extra
  values = [teacher[x] for x in teacher]
  return [*values, *(student[x].abs() - 1 for x in student)]


def _overhaul_kinks(student, teacher, extra):
  s, t = student['f'], teacher['f']
  return [t, t - extra['margin'], s - torch.maximum(t, extra['margin'])]


def _vid_kinks(student, teacher, extra):
  pooled, _ = feature.to_common_size(student['f'], teacher['f'])
  kernels = [extra[name] for name in ('w0', 'w1', 'w2')]
  return feature.regressor_activations(pooled, kernels)[:-1]


def _smooth_l1_kinks(*relations):
  def kinks(student, teacher, extra):
    del extra
    differences = [f(student['e']) - f(teacher['e']) for f in relations]
    return [x.abs() - 1 for x in differences]

  return kinks


def _congruence_kinks(student, teacher, extra):
  del extra
  return [student['e'] - teacher['e']]


# Tensors that must stay away from zero: the arguments of |x|, ReLU and steps,
# and |x| - 1 of those of smooth L1. Cases that are smooth are not here.
KINKS: dict[str, Callable[[Tensors, Tensors, Tensors], list[Tensor]]] = {
  'factor_transfer': _factor_kinks,
  'activation_boundary': _boundary_kinks,
  'overhaul_margin': _overhaul_kinks,
  'vid': _vid_kinks,
  'rkd_distance': _smooth_l1_kinks(relation.normalised_distances),
  'rkd_distance_duplicates': _smooth_l1_kinks(relation.normalised_distances),
  'rkd_angle': _smooth_l1_kinks(relation.angle_cosines),
  'rkd_25_50': _smooth_l1_kinks(
    relation.normalised_distances, relation.angle_cosines
  ),
  'correlation_congruence': _congruence_kinks,
}
