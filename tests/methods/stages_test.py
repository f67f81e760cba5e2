"""Which terms a method has, with which weights, in which stages."""

import jax
import numpy as np
import pytest
import small_pairs
from small_pairs import terms

from kdjax import methods


def _stages(**asked):
  method = methods.make(methods.Options(**{'hint_epochs': 3, **asked}))
  return method.stages(small_pairs.pair())


@pytest.mark.parametrize(
  ('asked', 'weights'),
  [
    ({'method': 'kd'}, {'labels': 0.1, 'soft': 0.9}),
    ({'method': 'kd', 'alpha': 0.25}, {'labels': 0.25, 'soft': 0.75}),
    (
      {'method': 'rkd'},
      {'labels': 1.0, 'distance': 25.0, 'angle': 50.0},
    ),
    (
      {'method': 'rkd', 'distance_weight': 2.0, 'angle_weight': 3.0},
      {'labels': 1.0, 'distance': 2.0, 'angle': 3.0},
    ),
    (
      {'method': 'kd,rkd'},
      {'labels': 0.1, 'soft': 0.9, 'distance': 25.0, 'angle': 50.0},
    ),
    (
      {'method': 'kd, rkd'},
      {'labels': 0.1, 'soft': 0.9, 'distance': 25.0, 'angle': 50.0},
    ),
    (
      {'method': 'kd,rkd', 'weights': 'angle=3, labels=0.5'},
      {'labels': 0.5, 'soft': 0.9, 'distance': 25.0, 'angle': 3.0},
    ),
    ({'method': 'hint'}, {'labels': 1.0, 'hint': 100.0}),
    ({'method': 'hint', 'hint_weight': 0.0}, {'labels': 1.0, 'hint': 0.0}),
    (
      {'method': 'hint,kd', 'hint_weight': 7.0},
      {'labels': 0.1, 'soft': 0.9, 'hint': 7.0},
    ),
  ],
)
def test_weights_of_one_stage(asked, weights):
  (stage,) = _stages(**asked)
  assert (stage.name, stage.epochs) == ('distilled', 8)
  assert not stage.freeze_unreached
  value, found, _ = terms(stage)
  assert set(found) == set(weights)
  # All differ from zero and from one another, so no weight can hide.
  assert len({round(abs(term), 4) for term in found.values()} - {0.0}) == len(
    weights
  )
  total = sum(weights[name] * found[name] for name in weights)
  np.testing.assert_allclose(value, total, rtol=1e-5)


@pytest.mark.parametrize(('weight', 'expected'), [(None, 1.0), (4.0, 4.0)])
def test_fitnets_has_two_stages(weight, expected):
  hint, distilled = _stages(method='fitnets', hint_weight=weight)
  assert (hint.name, hint.epochs, hint.freeze_unreached) == ('hint', 3, True)
  assert (distilled.name, distilled.epochs) == ('distilled', 5)
  assert not distilled.freeze_unreached
  value, found, _ = terms(hint)
  assert set(found) == {'hint'}
  np.testing.assert_allclose(value, expected * found['hint'], rtol=1e-5)
  value, found, _ = terms(distilled)
  assert set(found) == {'labels', 'soft'}
  np.testing.assert_allclose(
    value, 0.1 * found['labels'] + 0.9 * found['soft'], rtol=1e-5
  )


def test_fitnets_with_rkd_relates_in_its_second_stage_only():
  hint, distilled = _stages(method='fitnets,rkd')
  assert set(terms(hint)[1]) == {'hint'}
  assert set(terms(distilled)[1]) == {'labels', 'soft', 'distance', 'angle'}


def _kernels(stage):
  _, _, variables = terms(stage)
  return [x.shape for x in jax.tree.leaves(variables.params) if x.ndim == 2]


def test_the_hint_is_the_teachers_middle_stage():
  hint, _ = _stages(method='fitnets')
  # From the student's stage1 to stage2 of three.
  assert _kernels(hint) == [(6, 7)]


def test_the_taps_can_be_chosen():
  hint, _ = _stages(
    method='fitnets', hint_student='logits', hint_teacher='stage3'
  )
  assert _kernels(hint) == [(3, 5)]


def test_the_temperature_reaches_the_soft_targets():
  student = small_pairs.student_outputs()
  teacher = small_pairs.teacher_outputs()

  def softened(outputs, t):
    logits = np.float64(outputs['logits']) / t
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

  for temperature in (1.0, 4.0):
    (stage,) = _stages(method='kd', temperature=temperature)
    log_p = softened(teacher, temperature)
    log_q = softened(student, temperature)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    np.testing.assert_allclose(
      terms(stage)[1]['soft'], temperature**2 * divergence, rtol=1e-4
    )


@pytest.mark.parametrize(
  ('step', 'weight'), [(0, 0.0), (20, 1.0), (40, 2.0), (400, 2.0)]
)
def test_a_weight_that_grows_grows_to_what_is_asked_for(step, weight):
  # Twenty epochs of two steps.
  (stage,) = _stages(method='dkd', weights='dkd=2')
  value, found, _ = terms(stage, step)
  expected = found['labels'] + weight * found['dkd']
  assert value == pytest.approx(expected, rel=1e-5)
