"""Distillation losses: pure functions from arrays to an array.

Every loss is called as `loss(student, teacher, *, ...)`. Per-example losses
return `[batch]`; losses that couple the examples of a batch return a scalar
and take a `mask` for padding. Needs jax, chex and optax only.
"""

from kdjax.losses.feature.hints import hint_loss
from kdjax.losses.relation.angles import relational_angle_loss
from kdjax.losses.relation.distances import relational_distance_loss
from kdjax.losses.response.soft_targets import soft_target_loss

__all__ = [
  'hint_loss',
  'relational_angle_loss',
  'relational_distance_loss',
  'soft_target_loss',
]
