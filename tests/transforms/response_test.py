"""Labels and soft targets as terms: reductions, padding, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import losses as reference

from kdjax import transforms

_STEP = np.int32(0)
_LABEL = np.int32([2, 0, 1, 1])
_WEIGHT = np.float32([4 / 3, 4 / 3, 0, 4 / 3])
_KEEP = _WEIGHT > 0


def _logits(seed):
  return np.random.RandomState(seed).randn(4, 3).astype(np.float32) * 3


def _value_and_slope(term, student, teacher, batch):
  def value(logits):
    return term.apply(
      transforms.LossVariables(),
      {'logits': logits},
      {'logits': teacher},
      batch,
      _STEP,
    )[0]

  return jax.jit(jax.value_and_grad(value))(student)


def _cross_entropy(student, _, label):
  return reference.cross_entropy(student, label).mean()


def _soft(temperature):
  return lambda student, teacher, _: reference.soft_targets(
    student, teacher, temperature
  ).mean()


@pytest.mark.parametrize(
  ('term', 'loops'),
  [
    (transforms.labels(), _cross_entropy),
    (transforms.soft_targets(), _soft(4.0)),
    (transforms.soft_targets(temperature=1.5), _soft(1.5)),
  ],
  ids=['labels', 'soft_targets', 'temperature'],
)
@pytest.mark.parametrize('weighted', [False, True])
def test_mean_over_the_real_examples(term, loops, weighted):
  student, teacher = _logits(0), _logits(1)
  batch, keep = {'label': _LABEL}, np.ones(4, bool)
  if weighted:
    batch['weight'], keep = _WEIGHT, _KEEP
    # What the teacher says of padding does not reach the student.
    teacher[~keep] = np.nan
  value, slope = _value_and_slope(term, student, teacher, batch)
  expected = loops(student[keep], teacher[keep], _LABEL[keep])
  assert value == pytest.approx(expected, rel=1e-5)
  differences = reference.slope(
    lambda s: loops(s, teacher[keep], _LABEL[keep]), student[keep]
  )
  np.testing.assert_allclose(slope[keep], differences, atol=1e-5)
  np.testing.assert_array_equal(slope[~keep], 0)


@pytest.mark.parametrize(
  'term', [transforms.labels(), transforms.soft_targets()]
)
def test_bfloat16_logits_and_saturation(term):
  student = jnp.asarray([[1e4, -1e4, 0.0]], jnp.bfloat16)
  batch = {'label': np.int32([1]), 'weight': np.float32([1])}
  value, slope = _value_and_slope(term, student, -student, batch)
  assert value.dtype == np.float32
  assert np.isfinite(value)
  assert np.isfinite(slope.astype(np.float32)).all()


def test_init_needs_shapes_only():
  logits = {'logits': jax.ShapeDtypeStruct((4, 3), np.float32)}
  for term in (transforms.labels(), transforms.soft_targets()):
    assert term.init(jax.random.key(0), logits, logits) == ({}, {})


def test_labels_need_no_teacher():
  term = transforms.labels()
  assert term.init(jax.random.key(0), {'logits': _logits(0)}, {}) == ({}, {})
  batch = {'label': _LABEL}
  value, _, _ = term.apply(
    transforms.LossVariables(), {'logits': _logits(0)}, {}, batch, _STEP
  )
  assert value == pytest.approx(
    _cross_entropy(_logits(0), None, _LABEL), rel=1e-5
  )


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_temperature_must_be_positive(temperature):
  with pytest.raises(
    ValueError,
    match=rf'^soft_targets: temperature must be above 0, got {temperature}\.$',
  ):
    transforms.soft_targets(temperature=temperature)


def test_numbers_of_classes_must_agree():
  with pytest.raises(ValueError, match=r'same number of classes, got 3 and 10'):
    transforms.soft_targets().init(
      jax.random.key(0),
      {'logits': _logits(0)},
      {'logits': np.zeros((4, 10), np.float32)},
    )


@pytest.mark.parametrize(
  ('student', 'teacher', 'blamed'),
  [('other', 'logits', 'student'), ('logits', 'other', 'teacher')],
)
def test_logits_must_be_there(student, teacher, blamed):
  with pytest.raises(transforms.UnknownTapError, match=f'^{blamed} has no'):
    transforms.soft_targets().init(
      jax.random.key(0), {student: _logits(0)}, {teacher: _logits(0)}
    )


_CLASS_WEIGHTS = (0.5, 2.0, 0.0)


@pytest.mark.parametrize('form', ['integers', 'shares', 'ignored'])
def test_weights_of_classes(form):
  """`-sum_c w_c p_c log q_c`; the mean is over examples, not over weights."""
  student, weights = _logits(0), np.array(_CLASS_WEIGHTS)
  log_q = np.float64(student)
  log_q -= np.log(np.exp(log_q).sum(axis=1, keepdims=True))
  shares, label, keep = np.eye(3)[_LABEL], _LABEL, np.ones(4, bool)
  options = {}
  if form == 'shares':
    shares = np.random.RandomState(2).dirichlet(np.ones(3), 4)
    label = np.float32(shares)
  if form == 'ignored':
    label, options = np.int32([2, -1, 1, 1]), {'ignore': -1}
    keep = label != -1
  term = transforms.labels(class_weights=_CLASS_WEIGHTS, **options)
  found, slope = _value_and_slope(term, student, student, {'label': label})
  each = -(weights * shares * log_q).sum(axis=1)
  assert float(found) == pytest.approx(each[keep].mean(), rel=1e-5)
  total = (weights * shares).sum(axis=1, keepdims=True)
  expected = total * np.exp(log_q) - weights * shares
  expected = expected * keep[:, None] / keep.sum()
  np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_weights_of_classes_that_do_not_fit():
  for weights in ((1.0, -1.0), (np.nan, 1.0), ((1.0, 2.0),)):
    with pytest.raises(ValueError, match='class_weights must be numbers of 0'):
      transforms.labels(class_weights=weights)
  term = transforms.labels(class_weights=(1.0, 2.0))
  with pytest.raises(ValueError, match='class_weights must be 3 numbers'):
    _value_and_slope(term, _logits(0), _logits(1), {'label': _LABEL})
