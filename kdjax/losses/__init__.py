"""Distillation losses: pure functions from arrays to an array.

Every loss is called as `loss(student, teacher, *, ...)`. Per-example losses
return `[batch]`; losses that couple the examples of a batch return a scalar
and take a `mask` for padding. Needs jax, chex and optax only.
"""

from kdjax.losses.contract import RefusedError
from kdjax.losses.feature.activation_boundary import (
  activation_boundary_loss,
)
from kdjax.losses.feature.attention import (
  attention_map,
  attention_transfer_loss,
)
from kdjax.losses.feature.attention_matrices import (
  attention_matrix_loss,
)
from kdjax.losses.feature.attention_relations import (
  attention_distribution_loss,
  minilm_loss,
  minilmv2_loss,
  self_attention_relation_loss,
)
from kdjax.losses.feature.channel_wise import (
  channel_wise_loss,
)
from kdjax.losses.feature.factor_transfer import (
  factor_transfer_loss,
)
from kdjax.losses.feature.fsp import (
  fsp_loss,
  fsp_matrix,
)
from kdjax.losses.feature.hierarchical_context import (
  hierarchical_context_loss,
)
from kdjax.losses.feature.hints import (
  hint_loss,
)
from kdjax.losses.feature.inter_channel import (
  inter_channel_loss,
)
from kdjax.losses.feature.masked_generative import (
  masked_generative_loss,
  random_mask,
)
from kdjax.losses.feature.neuron_selectivity import (
  gaussian_neuron_selectivity_loss,
  linear_neuron_selectivity_loss,
  polynomial_neuron_selectivity_loss,
)
from kdjax.losses.feature.overhaul import (
  overhaul_loss,
  overhaul_margin,
)
from kdjax.losses.feature.pearson import (
  pearson_feature_loss,
)
from kdjax.losses.feature.simkd import (
  simkd_loss,
)
from kdjax.losses.feature.variational import (
  initial_log_scale,
  variational_information_loss,
)
from kdjax.losses.feature.vitkd import (
  random_hidden_tokens,
  vitkd_generation_loss,
  vitkd_mimicking_loss,
)
from kdjax.losses.relation.angles import (
  relational_angle_loss,
)
from kdjax.losses.relation.cka import (
  linear_cka,
  linear_cka_loss,
  rbf_cka,
  rbf_cka_loss,
)
from kdjax.losses.relation.contrastive import (
  in_batch_contrastive_loss,
)
from kdjax.losses.relation.contrastive_representation import (
  ContrastMemory,
  contrastive_representation_loss,
  init_contrast_memory,
)
from kdjax.losses.relation.correlation_congruence import (
  correlation_congruence_loss,
  kernel_correlation_congruence_loss,
)
from kdjax.losses.relation.distances import (
  relational_distance_loss,
)
from kdjax.losses.relation.instance_relation_graph import (
  instance_edge_loss,
  instance_relation_graph_loss,
  instance_transformation_loss,
  instance_vertex_loss,
)
from kdjax.losses.relation.negatives import (
  NegativeTable,
  negative_table,
  sample_negatives,
)
from kdjax.losses.relation.probabilistic import (
  probabilistic_transfer_loss,
)
from kdjax.losses.relation.similarity import (
  similarity_preserving_loss,
)
from kdjax.losses.response.adaptive import (
  adaptive_kl_loss,
)
from kdjax.losses.response.alpha_beta import (
  alpha_beta_loss,
)
from kdjax.losses.response.decoupled import (
  DecoupledParts,
  decoupled_loss,
  decoupled_parts,
)
from kdjax.losses.response.dense import (
  dense_soft_target_loss,
)
from kdjax.losses.response.direction import (
  streamlined_direction_loss,
)
from kdjax.losses.response.dist import (
  dist_loss,
)
from kdjax.losses.response.divergences import (
  forward_kl_loss,
  generalised_jensen_shannon_loss,
  reverse_kl_loss,
)
from kdjax.losses.response.hard_targets import (
  hard_target_loss,
)
from kdjax.losses.response.heads import (
  LinearHead,
)
from kdjax.losses.response.interpolated import (
  interpolated_target_loss,
)
from kdjax.losses.response.label_smoothing import (
  label_smoothing_loss,
  teacher_free_loss,
)
from kdjax.losses.response.linear import (
  linear_adaptive_kl_loss,
  linear_alpha_beta_loss,
  linear_forward_kl_loss,
  linear_generalised_jensen_shannon_loss,
  linear_interpolated_target_loss,
  linear_reverse_kl_loss,
  linear_sampled_soft_target_loss,
  linear_skew_kl_loss,
  linear_skew_reverse_kl_loss,
  linear_soft_target_loss,
  linear_top_k_soft_target_loss,
)
from kdjax.losses.response.multi_label import (
  multi_label_soft_target_loss,
)
from kdjax.losses.response.normalised import (
  normalised_loss,
)
from kdjax.losses.response.sampled import (
  SampledTargets,
  sample_targets,
  sampled_soft_target_loss,
)
from kdjax.losses.response.skew import (
  skew_kl_loss,
  skew_reverse_kl_loss,
)
from kdjax.losses.response.soft_targets import (
  soft_target_loss,
)
from kdjax.losses.response.standardised import (
  standardise_logits,
  standardised_soft_target_loss,
)
from kdjax.losses.response.top_k import (
  top_k_soft_target_loss,
)
from kdjax.losses.response.total_variation import total_variation_loss
from kdjax.losses.response.weighted_soft_labels import (
  weighted_soft_label_loss,
)

__all__ = [
  'ContrastMemory',
  'DecoupledParts',
  'LinearHead',
  'NegativeTable',
  'RefusedError',
  'SampledTargets',
  'activation_boundary_loss',
  'adaptive_kl_loss',
  'alpha_beta_loss',
  'attention_distribution_loss',
  'attention_map',
  'attention_matrix_loss',
  'attention_transfer_loss',
  'channel_wise_loss',
  'contrastive_representation_loss',
  'correlation_congruence_loss',
  'decoupled_loss',
  'decoupled_parts',
  'dense_soft_target_loss',
  'dist_loss',
  'factor_transfer_loss',
  'forward_kl_loss',
  'fsp_loss',
  'fsp_matrix',
  'gaussian_neuron_selectivity_loss',
  'generalised_jensen_shannon_loss',
  'hard_target_loss',
  'hierarchical_context_loss',
  'hint_loss',
  'in_batch_contrastive_loss',
  'init_contrast_memory',
  'initial_log_scale',
  'instance_edge_loss',
  'instance_relation_graph_loss',
  'instance_transformation_loss',
  'instance_vertex_loss',
  'inter_channel_loss',
  'interpolated_target_loss',
  'kernel_correlation_congruence_loss',
  'label_smoothing_loss',
  'linear_adaptive_kl_loss',
  'linear_alpha_beta_loss',
  'linear_cka',
  'linear_cka_loss',
  'linear_forward_kl_loss',
  'linear_generalised_jensen_shannon_loss',
  'linear_interpolated_target_loss',
  'linear_neuron_selectivity_loss',
  'linear_reverse_kl_loss',
  'linear_sampled_soft_target_loss',
  'linear_skew_kl_loss',
  'linear_skew_reverse_kl_loss',
  'linear_soft_target_loss',
  'linear_top_k_soft_target_loss',
  'masked_generative_loss',
  'minilm_loss',
  'minilmv2_loss',
  'multi_label_soft_target_loss',
  'negative_table',
  'normalised_loss',
  'overhaul_loss',
  'overhaul_margin',
  'pearson_feature_loss',
  'polynomial_neuron_selectivity_loss',
  'probabilistic_transfer_loss',
  'random_hidden_tokens',
  'random_mask',
  'rbf_cka',
  'rbf_cka_loss',
  'relational_angle_loss',
  'relational_distance_loss',
  'reverse_kl_loss',
  'sample_negatives',
  'sample_targets',
  'sampled_soft_target_loss',
  'self_attention_relation_loss',
  'similarity_preserving_loss',
  'simkd_loss',
  'skew_kl_loss',
  'skew_reverse_kl_loss',
  'soft_target_loss',
  'standardise_logits',
  'standardised_soft_target_loss',
  'streamlined_direction_loss',
  'teacher_free_loss',
  'top_k_soft_target_loss',
  'total_variation_loss',
  'variational_information_loss',
  'vitkd_generation_loss',
  'vitkd_mimicking_loss',
  'weighted_soft_label_loss',
]


def __dir__() -> list[str]:
  return sorted(__all__)
