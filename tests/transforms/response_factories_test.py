"""Losses on logits as terms: reductions, padding, metrics, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from references import response as reference

from kdjax.transforms import LossVariables, UnknownTapError, weighted_sum
from kdjax.transforms import response as factories

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_STEP = np.int32(0)
_LABEL = np.int32([2, 0, 1, 1, 2])
_WEIGHT = np.float32([5 / 3, 5 / 3, 0, 5 / 3, 0])
_KEEP = _WEIGHT > 0


def _logits(seed, shape=(5, 3)):
  return 2 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
_NO_SLOPE = ('weighted',)  # A part of it is a constant by definition.


def _value_and_slope(term, student, teacher, batch):
  def value(logits):
    return term.apply(
      LossVariables(), {'logits': logits}, {'logits': teacher}, batch, _STEP
    )[0]

  return jax.jit(jax.value_and_grad(value))(student)


@pytest.mark.parametrize(
  ('name', 'weighted'),
  [*((name, True) for name in CASES), ('decoupled', False), ('dist', False)],
)
def test_of_the_real_examples(name, weighted):
  term, loops = CASES[name]
  student, teacher = _logits(0), _logits(1)
  batch, keep = {'label': _LABEL}, np.ones(5, bool)
  if weighted:
    batch['weight'], keep = _WEIGHT, _KEEP
    student[~keep] = teacher[~keep] = np.nan
  value, slope = _value_and_slope(term, student, teacher, batch)
  s, t, y = np.float64(student[keep]), np.float64(teacher[keep]), _LABEL[keep]
  assert value == pytest.approx(loops(s, t, y), rel=1e-4)
  np.testing.assert_array_equal(slope[~keep], 0)
  assert np.abs(slope[keep]).max() > 1e-4
  if name not in _NO_SLOPE:
    way = 1e-5 * _logits(2)[keep].astype(np.float64)
    expected = (loops(s + way, t, y) - loops(s - way, t, y)) / 2
    assert np.vdot(slope[keep], way) == pytest.approx(
      expected, rel=1e-3, abs=1e-10
    )


@pytest.mark.parametrize('name', CASES)
def test_bfloat16_logits_have_a_loss_in_float32(name):
  logits = jax.ShapeDtypeStruct((5, 3), jnp.bfloat16)
  batch = {'label': _LABEL, 'weight': _WEIGHT}
  value, slope = jax.eval_shape(
    functools.partial(_value_and_slope, CASES[name][0]), logits, logits, batch
  )
  assert (value.dtype, slope.dtype) == (jnp.float32, jnp.bfloat16)


@pytest.mark.parametrize('name', CASES)
def test_init_needs_shapes_only_and_owns_nothing(name):
  logits = {'logits': jax.ShapeDtypeStruct((5, 3), np.float32)}
  assert CASES[name][0].init(jax.random.key(0), logits, logits) == ({}, {})


def test_decoupled_reports_its_parts_and_may_rise():
  ramp = optax.linear_schedule(0.0, 1.0, 20)
  term = weighted_sum(decoupled=(ramp, factories.decoupled(beta=2.0)))
  student, teacher = _logits(0), _logits(1)
  batch = {'label': _LABEL, 'weight': _WEIGHT}
  outputs = {'logits': student}, {'logits': teacher}
  variables = term.init(jax.random.key(0), *outputs)
  value, _, metrics = jax.jit(term.apply)(
    variables, *outputs, batch, np.int32(5)
  )
  target, non_target = (
    part.mean()
    for part in reference.decoupled_parts(
      np.float64(student[_KEEP]), np.float64(teacher[_KEEP]), _LABEL[_KEEP], 4
    )
  )
  assert set(metrics) == {
    'decoupled',
    'decoupled/target',
    'decoupled/non_target',
  }
  assert metrics['decoupled/target'] == pytest.approx(target, rel=1e-5)
  assert metrics['decoupled/non_target'] == pytest.approx(non_target, rel=1e-5)
  assert value == pytest.approx((target + 2 * non_target) / 4, rel=1e-5)


def test_dense_outputs_by_name_and_positions_left_out():
  term = factories.dense_soft_targets(
    student='map', teacher='map', temperature=2.0, mask='labelled'
  )
  student, teacher = _logits(0, (5, 2, 3, 4)), _logits(1, (5, 2, 3, 4))
  labelled = np.random.default_rng(2).random((5, 2, 3)) < 0.6
  expected = reference.dense_soft_target(student, teacher, labelled, 2.0)
  teacher[~labelled] = np.nan
  value, _, _ = jax.jit(term.apply)(
    LossVariables(),
    {'map': student},
    {'map': teacher},
    {'labelled': labelled, 'weight': _WEIGHT},
    _STEP,
  )
  assert value == pytest.approx(expected[_KEEP].mean(), rel=1e-4)


def test_dense_outputs_must_fit():
  term = factories.dense_soft_targets(student='map')
  key, logits = jax.random.key(0), {'logits': _logits(0)}
  with pytest.raises(UnknownTapError, match=r"^student has no output 'map'"):
    term.init(key, logits, logits)
  with pytest.raises(
    ValueError, match=r"student 'map' of shape \(5, 2, 3\) and teacher 'logits'"
  ):
    term.init(key, {'map': _logits(0, (5, 2, 3))}, logits)


def test_only_angles_may_have_other_numbers_of_classes():
  student, teacher = {'logits': _logits(0)}, {'logits': _logits(1, (5, 10))}
  for name, (term, _) in CASES.items():
    if name.startswith(('direction', 'smoothing', 'teacher free')):
      assert term.init(jax.random.key(0), student, teacher) == ({}, {})
    else:
      with pytest.raises(ValueError, match=r'\b3\b.*\b10\b'):
        term.init(jax.random.key(0), student, teacher)
  value, _ = _value_and_slope(
    factories.direction(), student['logits'], teacher['logits'], {}
  )
  assert value > 0
