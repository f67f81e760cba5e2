"""What losses on logits need: hyperparameters, labels alone for some."""

import jax
import numpy as np
import pytest

from kdjax import transforms as factories
from kdjax.transforms import LossVariables, UnknownTapError

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_temperature = (
  factories.soft_targets,
  factories.standardised_soft_targets,
  factories.decoupled,
  factories.normalised_soft_targets,
  factories.weighted_soft_labels,
  factories.forward_kl,
  factories.reverse_kl,
  factories.generalised_jensen_shannon,
  factories.dense_soft_targets,
  factories.dist,
  factories.teacher_free,
)


@pytest.mark.parametrize(
  ('factory', 'name', 'value', 'allowed'),
  [
    *((f, 'temperature', 0.0, 'above 0') for f in _temperature),
    (factories.decoupled, 'alpha', -1.0, '0 or above'),
    (factories.decoupled, 'beta', float('nan'), '0 or above'),
    (factories.normalised_soft_targets, 'gamma', -0.5, '0 or above'),
    (factories.generalised_jensen_shannon, 'beta', 1.5, 'from 0 to 1'),
    (factories.dist, 'inter_weight', -1.0, '0 or above'),
    (factories.dist, 'intra_weight', -1.0, '0 or above'),
    (factories.direction, 'tikhonov', 0.0, 'above 0'),
    (factories.label_smoothing, 'smoothing', -0.1, 'from 0 to 1'),
    (factories.teacher_free, 'confidence', 2.0, 'from 0 to 1'),
    (factories.teacher_free, 'student_temperature', -1.0, 'above 0'),
  ],
)
def test_hyperparameters_are_checked(factory, name, value, allowed):
  with pytest.raises(
    ValueError,
    match=rf'^{factory.__name__}: {name} must be {allowed}, got {value}\.$',
  ):
    factory(**{name: value})


_STUDENT_ONLY = [
  factories.labels(),
  factories.label_smoothing(),
  factories.teacher_free(),
]


@pytest.mark.parametrize('term', _STUDENT_ONLY)
def test_without_a_teacher(term):
  student = {'logits': np.ones((5, 3), np.float32)}
  assert term.init(jax.random.key(0), student, {}) == ({}, {})
  value, _, _ = term.apply(
    LossVariables(),
    student,
    {},
    {'label': np.int32([2, 0, 1, 1, 2])},
    np.int32(0),
  )
  assert value > 0
  with pytest.raises(UnknownTapError, match=r"^student has no output 'logits'"):
    term.init(jax.random.key(0), {'other': student['logits']}, {})
