"""Golden cases of losses on logits; hyperparameters of the reference file."""

import jax.numpy as jnp

from kdjax.losses.response import (
  decoupled,
  direction,
  dist,
  soft_targets,
  standardised,
  weighted_soft_labels,
)


def _soft_target(temperature):
  def loss(student, teacher, extra):
    del extra
    return jnp.mean(
      soft_targets.soft_target_loss(
        student['logits'], teacher['logits'], temperature=temperature
      )
    )

  return loss


def _decoupled(student, teacher, extra):
  return jnp.mean(
    decoupled.decoupled_loss(
      student['logits'],
      teacher['logits'],
      extra['labels'],
      alpha=1.0,
      beta=8.0,
      temperature=4.0,
    )
  )


def _dist(**hyperparameters):
  def loss(student, teacher, extra):
    del extra
    return dist.dist_loss(
      student['logits'],
      teacher['logits'],
      scale_by_temperature=True,
      **hyperparameters,
    )

  return loss


def _standardised(student, teacher, extra):
  del extra
  return jnp.mean(
    standardised.standardised_soft_target_loss(
      student['logits'], teacher['logits'], temperature=2.0
    )
  )


def _weighted_soft_labels(student, teacher, extra):
  return jnp.mean(
    weighted_soft_labels.weighted_soft_label_loss(
      student['logits'],
      teacher['logits'],
      extra['labels'],
      temperature=2.0,
    )
  )


def _direction(student, teacher, extra):
  del extra
  return direction.streamlined_direction_loss(
    student['logits'], teacher['logits'], tikhonov=0.1
  )


CASES = {
  'soft_target_T1': _soft_target(1.0),
  'soft_target_T4': _soft_target(4.0),
  'soft_target_T20': _soft_target(20.0),
  'dkd_a1_b8_T4': _decoupled,
  'dist_T1': _dist(inter_weight=1.0, intra_weight=1.0, temperature=1.0),
  'dist_T4_tau2': _dist(inter_weight=2.0, intra_weight=1.0, temperature=4.0),
  'logit_standardization_T2': _standardised,
  'wsld_T2': _weighted_soft_labels,
  'skd_direction': _direction,
}
