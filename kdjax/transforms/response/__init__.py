"""Transforms of losses on what the networks answer."""

from kdjax.transforms.response.coupled import direction, dist
from kdjax.transforms.response.divergences import (
  dense_soft_targets,
  forward_kl,
  generalised_jensen_shannon,
  reverse_kl,
  soft_targets,
  standardised_soft_targets,
)
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
  'decoupled',
  'dense_soft_targets',
  'direction',
  'dist',
  'forward_kl',
  'generalised_jensen_shannon',
  'label_smoothing',
  'labels',
  'normalised_soft_targets',
  'reverse_kl',
  'soft_targets',
  'standardised_soft_targets',
  'teacher_free',
  'top_k_soft_targets',
  'weighted_soft_labels',
]
