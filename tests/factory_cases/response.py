"""Losses on logits; by hand: `(student, teacher, labels) -> loss`."""

import numpy as np
from references import response as reference

from kdjax import transforms as factories


def _divergence(temperature, scale=1.0, swapped=False):
  def loops(s, t, _):
    p, q = (s, t) if swapped else (t, s)
    return scale * np.mean(
      [reference.kl(*pair, temperature) for pair in zip(p, q, strict=True)]
    )

  return loops


def _standardised(temperature):
  def loops(s, t, y):
    s, t = reference.standardise(s), reference.standardise(t)
    return _divergence(temperature, temperature**2)(s, t, y)

  return loops


def _decoupled(alpha, beta, temperature):
  def loops(s, t, y):
    target, non_target = reference.decoupled_parts(s, t, y, temperature)
    return np.mean(alpha * target + beta * non_target)

  return loops


def _dense(s, t, _):
  everywhere = np.ones(s.shape[:1], bool)
  return np.mean(reference.dense_soft_target(s, t, everywhere, 1.0))


CASES = {
  'soft': (factories.soft_targets(), _divergence(4, 16)),
  'standardised': (factories.standardised_soft_targets(), _standardised(2)),
  'decoupled': (factories.decoupled(), _decoupled(1, 8, 4)),
  'decoupled other': (
    factories.decoupled(alpha=0.5, beta=2.0, temperature=3.0),
    _decoupled(0.5, 2, 3),
  ),
  'weighted': (
    factories.weighted_soft_labels(),
    lambda s, t, y: reference.weighted_soft_label(s, t, y, 2).mean(),
  ),
  'normalised': (
    factories.normalised_soft_targets(gamma=0.5, temperature=3.0),
    lambda s, t, y: reference.normalised(s, t, y, 0.5, 3).mean(),
  ),
  'normalised default': (
    factories.normalised_soft_targets(),
    lambda s, t, y: reference.normalised(s, t, y, 1.5, 1).mean(),
  ),
  'hard': (
    factories.hard_targets(),
    lambda s, t, _: reference.label_smoothing(s, t.argmax(1), 0, False).mean(),
  ),
  'forward': (factories.forward_kl(temperature=2.0), _divergence(2)),
  'reverse': (factories.reverse_kl(), _divergence(1, swapped=True)),
  'jensen': (
    factories.generalised_jensen_shannon(beta=0.2, temperature=2.0),
    lambda s, t, _: reference.generalised_jensen_shannon(s, t, 0.2, 2).mean(),
  ),
  'jensen end': (
    factories.generalised_jensen_shannon(beta=1.0),
    _divergence(1, swapped=True),
  ),
  'skew': (
    factories.skew_kl(temperature=2.0),
    lambda s, t, _: reference.skew_kl(t, s, 0.1, 2).mean(),
  ),
  'skew reverse': (
    factories.skew_reverse_kl(skew=0.3),
    lambda s, t, _: reference.skew_kl(s, t, 0.3, 1).mean(),
  ),
  'alpha beta': (
    factories.alpha_beta(temperature=2.0),
    lambda s, t, _: reference.alpha_beta(s, t, 0.2, 0.7, 2).mean(),
  ),
  'alpha beta end': (
    factories.alpha_beta(alpha=1.0, beta=0.0),
    _divergence(1),
  ),
  'smoothing': (
    factories.label_smoothing(),
    lambda s, _, y: reference.label_smoothing(s, y, 0.1, False).mean(),
  ),
  'smoothing others': (
    factories.label_smoothing(smoothing=0.3, over_other_classes=True),
    lambda s, _, y: reference.label_smoothing(s, y, 0.3, True).mean(),
  ),
  'teacher free': (
    factories.teacher_free(),
    lambda s, _, y: reference.teacher_free(s, y, 20, 0.99).mean(),
  ),
  'teacher free other': (
    factories.teacher_free(
      temperature=3.0,
      confidence=0.9,
      student_temperature=2.0,
      soften_probabilities=False,
    ),
    lambda s, _, y: reference.teacher_free(s, y, 3, 0.9, 2, False).mean(),
  ),
  'dense': (factories.dense_soft_targets(), _dense),
  'dist': (
    factories.dist(),
    lambda s, t, _: reference.dist(s, t, 1, 1, 1),
  ),
  'dist other': (
    factories.dist(
      inter_weight=2.0,
      intra_weight=0.5,
      temperature=3.0,
      scale_by_temperature=True,
    ),
    lambda s, t, _: 9 * reference.dist(s, t, 2, 0.5, 3),
  ),
  'direction': (
    factories.direction(),
    lambda s, t, _: reference.streamlined_direction(s, t, 0.1, False),
  ),
  'direction other': (
    factories.direction(tikhonov=0.5, divide_by_classes=True),
    lambda s, t, _: reference.streamlined_direction(s, t, 0.5, True),
  ),
}
