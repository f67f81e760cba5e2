"""The memory of CRD as a term: two steps, negatives, padding, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import negatives as sampling
from kdjax.transforms import (
  LossVariables,
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


# One of each, for one compilation of each.
_BY_LABELS = {
  False: _crd(momentum=0.3),
  True: _crd(labels=_LABELS, momentum=0.3),
}
either = pytest.mark.parametrize(
  'labelled', [False, True], ids=['none', 'labels']
)


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


@either
def test_memory_over_two_steps(labelled):
  term = _BY_LABELS[labelled]
  student, teacher = _taps()
  variables = _init(term, student, teacher)
  params, key = variables.params, variables.state.key
  if not labelled:
    table, classes = sampling.negative_table(jnp.arange(12), 12), _INDEX
  else:
    table, classes = sampling.negative_table(_LABELS, 3), _BATCH['label']
  s, t = (
    np.array([x / np.linalg.norm(x) for x in _embedded(params, side, outputs)])
    for side, outputs in (('student', student), ('teacher', teacher))
  )
  banks, z = (
    (variables.state.memory.student, variables.state.memory.teacher),
    None,
  )
  for step in range(2):
    sample = sampling.sample_negatives(
      jax.random.fold_in(jax.random.wrap_key_data(key), step),
      classes,
      _INDEX,
      table,
      negatives=5,
    )
    expected, *banks, z = reference.contrastive_representation_loss(
      s,
      t,
      *banks,
      z,
      _INDEX[_KEEP],
      np.asarray(sample)[_KEEP],
      temperature=0.5,
      momentum=0.3,
    )
    value, (slopes, _), state = _apply(
      term, variables, student, teacher, step=step
    )
    assert value == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(state.memory.student, banks[0], atol=1e-5)
    np.testing.assert_allclose(state.memory.teacher, banks[1], atol=1e-5)
    np.testing.assert_allclose(np.exp(state.memory.log_z), z, rtol=1e-4)
    np.testing.assert_array_equal(state.key, key)
    for side in ('student', 'teacher'):
      assert np.isfinite(slopes[side]['kernel']).all()
      assert np.abs(slopes[side]['kernel']).max() > 1e-3
    variables = LossVariables(params, state)


@either
def test_negatives_are_of_other_classes(labelled):
  term = _crd(labels=_LABELS if labelled else None, negatives=40)
  student, teacher = ({'embedding': _normal(i, 1, 4)} for i in range(2))
  variables = _init(term, student, teacher)
  # With the rows that must not be drawn NaN, a finite value drew none of them.
  same = _LABELS[7] == _LABELS if labelled else np.arange(12) != 7
  batch = {'index': np.int32([7]), 'label': np.int32([_LABELS[7]])}
  for forbidden, finite in (
    (same & (np.arange(12) != 7), labelled),
    (np.arange(12) == 4, labelled),
    (np.arange(12) == 5, False),
  ):
    bank = jnp.where(forbidden[:, None], np.nan, variables.state.memory.teacher)
    memory = variables.state.memory._replace(teacher=bank)
    state = variables.state._replace(memory=memory)
    value, _, _ = _apply(
      term, LossVariables(variables.params, state), student, teacher, batch
    )
    assert np.isfinite(value) == finite


def test_every_step_draws_other_negatives():
  term = _BY_LABELS[False]
  student, teacher = _taps()
  variables = _init(term, student, teacher)
  first, second, again = (
    _apply(term, variables, student, teacher, step=step)[0]
    for step in (0, 1, 0)
  )
  assert first == again
  assert first != second


def test_padding_is_not_remembered():
  term = _BY_LABELS[True]
  student, teacher = _taps()
  variables = _init(term, student, teacher)
  _, _, state = _apply(term, variables, student, teacher)
  for bank, before in zip(
    state.memory[:2], variables.state.memory[:2], strict=True
  ):
    moved = np.flatnonzero(np.any(bank != before, axis=1))
    np.testing.assert_array_equal(moved, np.sort(_INDEX[_KEEP]))


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    (
      np.zeros(5, int),
      r'12 integers, one per example, got int64 of shape \(5,',
    ),
    (np.zeros(12), r'12 integers, one per example, got float64 of shape \(12,'),
    (np.arange(12) - 1, r'not be negative, got -1\.'),
  ],
)
def test_labels_are_checked(labels, message):
  with pytest.raises(ValueError, match=rf'^labels must (be )?{message}'):
    _crd(labels=labels)
