"""Values of the losses on logits, against loops from the papers' formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import response as reference

from kdjax.losses.response import (
  decoupled,
  dense,
  direction,
  dist,
  divergences,
  label_smoothing,
  normalised,
  standardised,
  weighted_soft_labels,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_RNG = np.random.default_rng(0)
STUDENT = 2 * _RNG.normal(size=(5, 7))
TEACHER = 2 * _RNG.normal(size=(5, 7))
LABELS = np.array([0, 6, 3, 3, 1])
MAPS = _RNG.normal(size=(2, 3, 2, 3, 4))
MASK = _RNG.integers(0, 2, size=(3, 2, 3))
MASK[1] = 0

# Name: (function of nothing, value of the loop).
VALUES = {
  'decoupled_target': (
    lambda: (
      decoupled.decoupled_parts(
        STUDENT, TEACHER, LABELS, temperature=3.0
      ).target
    ),
    lambda: reference.decoupled_parts(STUDENT, TEACHER, LABELS, 3.0)[0],
  ),
  'decoupled_non_target': (
    lambda: (
      decoupled.decoupled_parts(
        STUDENT, TEACHER, LABELS, temperature=3.0
      ).non_target
    ),
    lambda: reference.decoupled_parts(STUDENT, TEACHER, LABELS, 3.0)[1],
  ),
  'weighted_soft_labels': (
    lambda: weighted_soft_labels.weighted_soft_label_loss(
      STUDENT, TEACHER, LABELS, temperature=3.0
    ),
    lambda: reference.weighted_soft_label(STUDENT, TEACHER, LABELS, 3.0),
  ),
  'normalised': (
    lambda: normalised.normalised_loss(STUDENT, TEACHER, LABELS),
    lambda: reference.normalised(STUDENT, TEACHER, LABELS, 1.5, 1.0),
  ),
  'normalised_softened': (
    lambda: normalised.normalised_loss(
      STUDENT, TEACHER, LABELS, gamma=0.5, temperature=3.0
    ),
    lambda: reference.normalised(STUDENT, TEACHER, LABELS, 0.5, 3.0),
  ),
  'forward_kl': (
    lambda: divergences.forward_kl_loss(STUDENT, TEACHER, temperature=2.0),
    lambda: [
      reference.kl(t, s, 2.0) for s, t in zip(STUDENT, TEACHER, strict=True)
    ],
  ),
  'reverse_kl': (
    lambda: divergences.reverse_kl_loss(STUDENT, TEACHER, temperature=2.0),
    lambda: [
      reference.kl(s, t, 2.0) for s, t in zip(STUDENT, TEACHER, strict=True)
    ],
  ),
  'generalised_jensen_shannon': (
    lambda: divergences.generalised_jensen_shannon_loss(STUDENT, TEACHER),
    lambda: reference.generalised_jensen_shannon(STUDENT, TEACHER, 0.5, 1.0),
  ),
  'generalised_jensen_shannon_skewed': (
    lambda: divergences.generalised_jensen_shannon_loss(
      STUDENT, TEACHER, beta=0.1, temperature=2.0
    ),
    lambda: reference.generalised_jensen_shannon(STUDENT, TEACHER, 0.1, 2.0),
  ),
  'standardise': (
    lambda: standardised.standardise_logits(STUDENT),
    lambda: reference.standardise(STUDENT),
  ),
  'standardised_soft_targets': (
    lambda: standardised.standardised_soft_target_loss(
      STUDENT, TEACHER, temperature=3.0
    ),
    lambda: [
      9 * reference.kl(t, s, 3.0)
      for s, t in zip(
        reference.standardise(STUDENT),
        reference.standardise(TEACHER),
        strict=True,
      )
    ],
  ),
  'dist_as_in_the_paper': (
    lambda: dist.dist_loss(
      STUDENT, TEACHER, inter_weight=2.0, intra_weight=3.0, temperature=4.0
    ),
    lambda: reference.dist(STUDENT, TEACHER, 2.0, 3.0, 4.0),
  ),
  'direction': (
    lambda: direction.streamlined_direction_loss(
      STUDENT, TEACHER[:, :4], tikhonov=0.3
    ),
    lambda: reference.streamlined_direction(
      STUDENT, TEACHER[:, :4], 0.3, False
    ),
  ),
  'direction_as_in_the_code': (
    lambda: direction.streamlined_direction_loss(
      STUDENT, TEACHER, divide_by_classes=True
    ),
    lambda: reference.streamlined_direction(STUDENT, TEACHER, 0.1, True),
  ),
  'label_smoothing': (
    lambda: label_smoothing.label_smoothing_loss(STUDENT, LABELS),
    lambda: reference.label_smoothing(STUDENT, LABELS, 0.1, False),
  ),
  'label_smoothing_over_others': (
    lambda: label_smoothing.label_smoothing_loss(
      STUDENT, LABELS, smoothing=0.3, over_other_classes=True
    ),
    lambda: reference.label_smoothing(STUDENT, LABELS, 0.3, True),
  ),
  'teacher_free': (
    lambda: label_smoothing.teacher_free_loss(STUDENT, LABELS),
    lambda: reference.teacher_free(STUDENT, LABELS, 20.0, 0.99),
  ),
  'teacher_free_softened': (
    lambda: label_smoothing.teacher_free_loss(
      STUDENT,
      LABELS,
      temperature=5.0,
      confidence=0.9,
      student_temperature=5.0,
      soften_probabilities=False,
    ),
    lambda: reference.teacher_free(STUDENT, LABELS, 5.0, 0.9, 5.0, False),
  ),
  'dense_masked': (
    lambda: dense.dense_soft_target_loss(
      MAPS[0], MAPS[1], temperature=2.0, mask=MASK
    ),
    lambda: reference.dense_soft_target(MAPS[0], MAPS[1], MASK, 2.0),
  ),
  'dense': (
    lambda: dense.dense_soft_target_loss(MAPS[0, :, 0], MAPS[1, :, 0]),
    lambda: reference.dense_soft_target(
      MAPS[0, :, 0], MAPS[1, :, 0], np.ones((3, 3)), 1.0
    ),
  ),
}


@functools.cache
def _jitted():
  """All values by one compiled program, which is what takes the time."""
  with jax.enable_x64(True):
    return jax.jit(
      lambda: {name: loss() for name, (loss, _) in VALUES.items()}
    )()


@pytest.mark.parametrize('name', VALUES)
def test_value(name):
  assert _jitted()[name].dtype == jnp.float64
  np.testing.assert_allclose(_jitted()[name], VALUES[name][1](), rtol=1e-9)


@pytest.mark.parametrize(
  'name',
  [
    'normalised',
    'forward_kl',
    'generalised_jensen_shannon',
    'standardised_soft_targets',
    'dist_as_in_the_paper',
    'direction',
    'teacher_free',
    'dense_masked',
  ],
)
def test_value_not_jitted(name):
  with jax.enable_x64(True):
    actual = VALUES[name][0]()
  np.testing.assert_allclose(actual, VALUES[name][1](), rtol=1e-9)
