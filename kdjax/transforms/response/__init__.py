"""Transforms of losses on what the networks answer."""

from kdjax.transforms.response.coupled import direction, dist
from kdjax.transforms.response.curriculum import curriculum_soft_targets
from kdjax.transforms.response.divergences import (
  dense_soft_targets,
  forward_kl,
  generalised_jensen_shannon,
  reverse_kl,
  soft_targets,
  standardised_soft_targets,
)
from kdjax.transforms.response.linear import (
  linear_forward_kl,
  linear_generalised_jensen_shannon,
  linear_reverse_kl,
  linear_soft_targets,
  linear_top_k_soft_targets,
)
from kdjax.transforms.response.linear_mixtures import (
  linear_adaptive_kl,
  linear_alpha_beta,
  linear_interpolated_targets,
  linear_skew_kl,
  linear_skew_reverse_kl,
)
from kdjax.transforms.response.mixtures import (
  adaptive_interpolated_targets,
  adaptive_kl,
  alpha_beta,
  interpolated_targets,
  skew_kl,
  skew_reverse_kl,
)
from kdjax.transforms.response.plain import (
  multi_label_soft_targets,
  multi_labels,
  regression_labels,
  regression_targets,
)
from kdjax.transforms.response.sampled import sampled_soft_targets
from kdjax.transforms.response.target_class import (
  decoupled,
  normalised_soft_targets,
  weighted_soft_labels,
)
from kdjax.transforms.response.task import (
  label_smoothing,
  labels,
  teacher_free,
)
from kdjax.transforms.response.top_k import top_k_soft_targets

__all__ = [
  'adaptive_interpolated_targets',
  'adaptive_kl',
  'alpha_beta',
  'curriculum_soft_targets',
  'decoupled',
  'dense_soft_targets',
  'direction',
  'dist',
  'forward_kl',
  'generalised_jensen_shannon',
  'interpolated_targets',
  'label_smoothing',
  'labels',
  'linear_adaptive_kl',
  'linear_alpha_beta',
  'linear_forward_kl',
  'linear_generalised_jensen_shannon',
  'linear_interpolated_targets',
  'linear_reverse_kl',
  'linear_skew_kl',
  'linear_skew_reverse_kl',
  'linear_soft_targets',
  'linear_top_k_soft_targets',
  'multi_label_soft_targets',
  'multi_labels',
  'normalised_soft_targets',
  'regression_labels',
  'regression_targets',
  'reverse_kl',
  'sampled_soft_targets',
  'skew_kl',
  'skew_reverse_kl',
  'soft_targets',
  'standardised_soft_targets',
  'teacher_free',
  'top_k_soft_targets',
  'weighted_soft_labels',
]
