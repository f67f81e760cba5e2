"""Losses on logits as terms: reductions, padding, metrics, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from factory_cases.response import CASES
from references import response as reference

from kdjax import transforms as factories
from kdjax.transforms import LossVariables, UnknownTapError, weighted_sum

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_STEP = np.int32(0)
_LABEL = np.int32([2, 0, 1, 1, 2])
_WEIGHT = np.float32([5 / 3, 5 / 3, 0, 5 / 3, 0])
_KEEP = _WEIGHT > 0


def _logits(seed, shape=(5, 3)):
  return 2 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
