"""Relations that own something: embeddings, memory, negatives, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.transforms import (
  LossVariables,
  UnknownTapError,
  congruence,
  contrast,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_WEIGHT = np.float32([6 / 4, 0, 6 / 4, 6 / 4, 6 / 4, 0])
_KEEP = _WEIGHT > 0
_LABELS = np.arange(12) % 3
_INDEX = np.int32([3, 0, 7, 8, 1, 0])
_BATCH = {
  'index': _INDEX,
  'label': np.int32(_LABELS[_INDEX]),
  'weight': _WEIGHT,
}
_crd = functools.partial(
  contrast.contrastive_representation,
  examples=12,
  negatives=5,
  dim=3,
  temperature=0.5,
)


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _taps(width=5, padding=np.nan):
  student, teacher = _normal(0, 6, 2, 2, 1), _normal(1, 6, width)
  student[~_KEEP] = teacher[~_KEEP] = padding
  return {'embedding': student}, {'embedding': teacher}


def _shapes(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _init(term, student, teacher):
  return term.init(jax.random.key(3), _shapes(student), _shapes(teacher))


@functools.cache
def _program(term):
  def value(params, student, state, teacher, batch, step):
    value, state, metrics = term.apply(
      LossVariables(params, state), student, teacher, batch, step
    )
    assert metrics == {}
    return value, state

  return jax.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))


def _apply(term, variables, student, teacher, batch=_BATCH, step=0):
  """Value, gradients of params and of the student, and new state."""
  params, state = variables
  (value, state), slopes = _program(term)(
    params, student, state, teacher, batch, np.int32(step)
  )
  return value, slopes, state


def _embedded(params, side, outputs):
  """What the dense layer of one side makes of the real rows, in NumPy."""
  x = np.float64(outputs['embedding'][_KEEP].reshape(_KEEP.sum(), -1))
  if side not in params:
    return x
  return x @ np.float64(params[side]['kernel']) + np.float64(
    params[side]['bias']
  )


CASES = {
  'congruence': (
    congruence.correlation_congruence(dim=3),
    reference.correlation_congruence_loss,
    {'student', 'teacher'},
  ),
  'kernel': (
    congruence.kernel_correlation_congruence(),
    reference.kernel_correlation_congruence_loss,
    set(),
  ),
  'kernel embedded': (
    congruence.kernel_correlation_congruence(
      dim=3, gamma=0.3, max_p=3, normalise=False, squared=False
    ),
    functools.partial(
      reference.kernel_correlation_congruence_loss,
      gamma=0.3,
      max_p=3,
      normalise=False,
      squared=False,
    ),
    {'student', 'teacher'},
  ),
  'in batch': (
    contrast.in_batch_contrastive(),
    reference.in_batch_contrastive_loss,
    {'student'},
  ),
  'in batch symmetric': (
    contrast.in_batch_contrastive(temperature=0.5, symmetric=True),
    functools.partial(
      reference.in_batch_contrastive_loss, temperature=0.5, symmetric=True
    ),
    {'student'},
  ),
}


@pytest.mark.parametrize('name', CASES)
def test_of_the_embedded_real_rows(name):
  term, loops, sides = CASES[name]
  student, teacher = _taps()
  variables = _init(term, student, teacher)
  assert set(variables.params) == sides
  assert variables.state == {}
  value, (slopes, slope), state = _apply(term, variables, student, teacher)
  assert state == {}
  expected = loops(
    _embedded(variables.params, 'student', student),
    _embedded(variables.params, 'teacher', teacher),
  )
  assert value == pytest.approx(expected, rel=1e-4)
  np.testing.assert_array_equal(slope['embedding'][~_KEEP], 0)
  assert np.abs(slope['embedding'][_KEEP]).max() > 1e-4
  for side in sides:
    assert np.isfinite(slopes[side]['bias']).all()
    assert np.isfinite(slopes[side]['kernel']).all()
    assert np.abs(slopes[side]['kernel']).max() > 1e-4


def test_no_projection_where_sizes_agree():
  term = contrast.in_batch_contrastive()
  student, teacher = _taps(width=4)
  variables = _init(term, student, teacher)
  assert variables == ({}, {})
  value, _, _ = _apply(term, variables, student, teacher)
  expected = reference.in_batch_contrastive_loss(
    _embedded({}, 'student', student), _embedded({}, 'teacher', teacher)
  )
  assert value == pytest.approx(expected, rel=1e-4)


def test_defaults_of_the_papers():
  shapes = _shapes(_taps())
  for term in (
    congruence.correlation_congruence(),
    contrast.contrastive_representation(examples=7),
  ):
    variables = jax.eval_shape(term.init, jax.random.key(0), *shapes)
    assert variables.params['student']['kernel'].shape == (4, 128)
    assert variables.params['teacher']['kernel'].shape == (5, 128)
  assert variables.state.memory.student.shape == (7, 128)
  assert variables.state.key.dtype == np.uint32


@pytest.mark.parametrize('wide', [False, True], ids=['bfloat16', 'float64'])
def test_dtypes(wide):
  terms = [term for term, _, _ in CASES.values()] + [_crd(labels=_LABELS)]
  with jax.enable_x64(wide):
    given = jnp.float64 if wide else jnp.bfloat16
    inside = jnp.float64 if wide else jnp.float32
    student, teacher = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, given), _taps()
    )
    for term in terms:
      variables = jax.eval_shape(term.init, jax.random.key(0), student, teacher)
      value, (slopes, slope), state = jax.eval_shape(
        functools.partial(_apply, term), variables, student, teacher
      )
      assert value.dtype == inside
      assert slope['embedding'].dtype == given
      assert slopes == variables.params
      for leaf in jax.tree.leaves(variables.params):
        assert leaf.dtype == inside
      assert state == variables.state


@pytest.mark.parametrize(
  'term', [*(term for term, _, _ in CASES.values()), _crd()]
)
def test_unknown_taps(term):
  taps, other = {'embedding': _normal(0, 2, 3)}, {'stage1': _normal(0, 2, 3)}
  for student, teacher, blamed in (
    (other, taps, 'student'),
    (taps, other, 'teacher'),
  ):
    with pytest.raises(
      UnknownTapError,
      match=rf"^{blamed} has no output 'embedding'; it has stage1\.$",
    ):
      term.init(jax.random.key(0), student, teacher)


@pytest.mark.parametrize(
  ('factory', 'name', 'value', 'message'),
  [
    (congruence.correlation_congruence, 'dim', 0, 'an integer of at least 1'),
    (congruence.kernel_correlation_congruence, 'dim', 1.5, 'an integer of'),
    (congruence.kernel_correlation_congruence, 'gamma', 0.0, 'positive'),
    (congruence.kernel_correlation_congruence, 'max_p', 0, 'an integer of'),
    (contrast.in_batch_contrastive, 'temperature', -1.0, 'positive'),
    (_crd, 'examples', 0, 'an integer of at least 1'),
    (_crd, 'negatives', 2.5, 'an integer of at least 1'),
    (_crd, 'dim', 0, 'an integer of at least 1'),
    (_crd, 'temperature', 0.0, 'positive'),
    (_crd, 'momentum', 1.5, 'from 0 to 1'),
  ],
)
def test_hyperparameters_are_checked(factory, name, value, message):
  with pytest.raises(
    ValueError, match=rf'^{name} must be {message}.*, got {value}\.$'
  ):
    factory(**{name: value})
