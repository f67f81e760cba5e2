"""Losses bound to named outputs, with what they own; and their combinators."""

from kdjax.transforms.base import (
  LossTransform,
  LossVariables,
  UnknownTapError,
  stateless,
)
from kdjax.transforms.combinators import across_devices, weighted_sum
from kdjax.transforms.feature import hint
from kdjax.transforms.relation import relational_angle, relational_distance
from kdjax.transforms.response import labels, soft_targets

__all__ = [
  'LossTransform',
  'LossVariables',
  'UnknownTapError',
  'across_devices',
  'hint',
  'labels',
  'relational_angle',
  'relational_distance',
  'soft_targets',
  'stateless',
  'weighted_sum',
]
