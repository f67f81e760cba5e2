"""Transforms of losses on what the networks compute inside."""

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

__all__ = [
  'activation_boundary',
  'attention',
  'attention_matrices',
  'channel_wise',
  'factor_transfer',
  'fsp',
  'gaussian_neuron_selectivity',
  'hint',
  'inter_channel',
  'linear_neuron_selectivity',
  'masked_generative',
  'neuron_selectivity',
  'overhaul',
  'overhaul_margins',
  'pearson_feature',
  'review',
  'self_attention_relations',
  'self_attention_relations_v2',
  'simkd',
  'variational_information',
  'vitkd',
]
