"""Losses bound to named outputs, with what they own; and their combinators.

The examples of this package show the value of a term at its first step, or the
shapes of the parameters it owns, by two functions:

>>> def value(term, student, teacher, **batch):
...   variables = term.init(jax.random.key(0), student, teacher)
...   found, _, _ = jax.jit(term.apply)(variables, student, teacher, batch, 0)
...   return round(float(found), 4)
>>> def shapes(term, student, teacher):
...   variables = jax.eval_shape(term.init, jax.random.key(0), student, teacher)
...   return [x.shape for x in jax.tree.leaves(variables.params)]
"""

from kdjax.transforms.axes import across_devices, on_axis
from kdjax.transforms.base import (
  LossTransform,
  LossVariables,
  UnknownTapError,
)
from kdjax.transforms.combinators import weighted_sum
from kdjax.transforms.congruence import (
  correlation_congruence,
  kernel_correlation_congruence,
)
from kdjax.transforms.contrast import (
  contrastive_representation,
  in_batch_contrastive,
)
from kdjax.transforms.feature.attention import (
  attention_matrices,
  self_attention_relations,
  self_attention_relations_v2,
)
from kdjax.transforms.feature.boundaries import (
  activation_boundary,
  overhaul,
  overhaul_margins,
)
from kdjax.transforms.feature.channels import (
  channel_wise,
  inter_channel,
  pearson_feature,
)
from kdjax.transforms.feature.factors import factor_transfer
from kdjax.transforms.feature.generative import masked_generative
from kdjax.transforms.feature.hint import hint
from kdjax.transforms.feature.maps import (
  attention,
  fsp,
  gaussian_neuron_selectivity,
  linear_neuron_selectivity,
  neuron_selectivity,
)
from kdjax.transforms.feature.review import review
from kdjax.transforms.feature.simkd import simkd
from kdjax.transforms.feature.variational import variational_information
from kdjax.transforms.feature.vitkd import vitkd
from kdjax.transforms.numbers import Learned, learned
from kdjax.transforms.relation import (
  instance_relation_graph,
  linear_cka,
  of_embeddings,
  probabilistic_transfer,
  rbf_cka,
  relational_angle,
  relational_distance,
  similarity_preserving,
)
from kdjax.transforms.response.adaptive import adaptive_interpolated_targets
from kdjax.transforms.response.coupled import direction, dist
from kdjax.transforms.response.curriculum import curriculum_soft_targets
from kdjax.transforms.response.decoupled import decoupled
from kdjax.transforms.response.dense import dense_soft_targets
from kdjax.transforms.response.heads import (
  linear_adaptive_kl,
  linear_alpha_beta,
  linear_forward_kl,
  linear_generalised_jensen_shannon,
  linear_interpolated_targets,
  linear_reverse_kl,
  linear_skew_kl,
  linear_skew_reverse_kl,
  linear_soft_targets,
  linear_top_k_soft_targets,
  of_heads,
)
from kdjax.transforms.response.logits import (
  adaptive_kl,
  alpha_beta,
  forward_kl,
  generalised_jensen_shannon,
  hard_targets,
  interpolated_targets,
  label_smoothing,
  multi_label_soft_targets,
  normalised_soft_targets,
  of_logits,
  reverse_kl,
  skew_kl,
  skew_reverse_kl,
  soft_targets,
  standardised_soft_targets,
  teacher_free,
  weighted_soft_labels,
)
from kdjax.transforms.response.sampled import sampled_soft_targets
from kdjax.transforms.response.task import (
  labels,
  multi_labels,
  regression_labels,
  regression_targets,
)
from kdjax.transforms.response.top_k import top_k_soft_targets
from kdjax.transforms.stateless import stateless

__all__ = [
  'Learned',
  'LossTransform',
  'LossVariables',
  'UnknownTapError',
  'across_devices',
  'activation_boundary',
  'adaptive_interpolated_targets',
  'adaptive_kl',
  'alpha_beta',
  'attention',
  'attention_matrices',
  'channel_wise',
  'contrastive_representation',
  'correlation_congruence',
  'curriculum_soft_targets',
  'decoupled',
  'dense_soft_targets',
  'direction',
  'dist',
  'factor_transfer',
  'forward_kl',
  'fsp',
  'gaussian_neuron_selectivity',
  'generalised_jensen_shannon',
  'hard_targets',
  'hint',
  'in_batch_contrastive',
  'instance_relation_graph',
  'inter_channel',
  'interpolated_targets',
  'kernel_correlation_congruence',
  'label_smoothing',
  'labels',
  'learned',
  'linear_adaptive_kl',
  'linear_alpha_beta',
  'linear_cka',
  'linear_forward_kl',
  'linear_generalised_jensen_shannon',
  'linear_interpolated_targets',
  'linear_neuron_selectivity',
  'linear_reverse_kl',
  'linear_skew_kl',
  'linear_skew_reverse_kl',
  'linear_soft_targets',
  'linear_top_k_soft_targets',
  'masked_generative',
  'multi_label_soft_targets',
  'multi_labels',
  'neuron_selectivity',
  'normalised_soft_targets',
  'of_embeddings',
  'of_heads',
  'of_logits',
  'on_axis',
  'overhaul',
  'overhaul_margins',
  'pearson_feature',
  'probabilistic_transfer',
  'rbf_cka',
  'regression_labels',
  'regression_targets',
  'relational_angle',
  'relational_distance',
  'reverse_kl',
  'review',
  'sampled_soft_targets',
  'self_attention_relations',
  'self_attention_relations_v2',
  'similarity_preserving',
  'simkd',
  'skew_kl',
  'skew_reverse_kl',
  'soft_targets',
  'standardised_soft_targets',
  'stateless',
  'teacher_free',
  'top_k_soft_targets',
  'variational_information',
  'vitkd',
  'weighted_soft_labels',
  'weighted_sum',
]


def __dir__() -> list[str]:
  return sorted(__all__)
