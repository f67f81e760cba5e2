"""The memory of CRD as a term: two steps, negatives, padding, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factory_cases import contrast as cases
from references import relation as reference

from kdjax.losses.relation import negatives as sampling
from kdjax.transforms import LossVariables

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

# One of each, for one compilation of each.
_BY_LABELS = {
  False: cases.crd(momentum=0.3),
  True: cases.crd(labels=cases.LABELS, momentum=0.3),
}
either = pytest.mark.parametrize(
  'labelled', [False, True], ids=['none', 'labels']
)


@either
def test_memory_over_two_steps(labelled):
  term = _BY_LABELS[labelled]
  student, teacher = cases.taps()
  variables = cases.init(term, student, teacher)
  params, key = variables.params, variables.state.key
  if not labelled:
    table, classes = sampling.negative_table(jnp.arange(12), 12), cases.INDEX
  else:
    table = sampling.negative_table(cases.LABELS, 3)
    classes = cases.BATCH['label']
  s, t = (
    np.array(
      [x / np.linalg.norm(x) for x in cases.embedded(params, side, outputs)]
    )
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
      cases.INDEX,
      table,
      negatives=5,
    )
    expected, *banks, z = reference.contrastive_representation_loss(
      s,
      t,
      *banks,
      z,
      cases.INDEX[cases.KEEP],
      np.asarray(sample)[cases.KEEP],
      temperature=0.5,
      momentum=0.3,
    )
    value, (slopes, _), state = cases.apply(
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
  term = cases.crd(labels=cases.LABELS if labelled else None, negatives=40)
  student, teacher = ({'embedding': cases.normal(i, 1, 4)} for i in range(2))
  variables = cases.init(term, student, teacher)
  # With the rows that must not be drawn NaN, a finite value drew none of them.
  same = cases.LABELS[7] == cases.LABELS if labelled else np.arange(12) != 7
  batch = {'index': np.int32([7]), 'label': np.int32([cases.LABELS[7]])}
  for forbidden, finite in (
    (same & (np.arange(12) != 7), labelled),
    (np.arange(12) == 4, labelled),
    (np.arange(12) == 5, False),
  ):
    bank = jnp.where(forbidden[:, None], np.nan, variables.state.memory.teacher)
    memory = variables.state.memory._replace(teacher=bank)
    state = variables.state._replace(memory=memory)
    value, _, _ = cases.apply(
      term, LossVariables(variables.params, state), student, teacher, batch
    )
    assert np.isfinite(value) == finite


def test_every_step_draws_other_negatives():
  term = _BY_LABELS[False]
  student, teacher = cases.taps()
  variables = cases.init(term, student, teacher)
  first, second, again = (
    cases.apply(term, variables, student, teacher, step=step)[0]
    for step in (0, 1, 0)
  )
  assert first == again
  assert first != second


def test_padding_is_not_remembered():
  term = _BY_LABELS[True]
  student, teacher = cases.taps()
  variables = cases.init(term, student, teacher)
  _, _, state = cases.apply(term, variables, student, teacher)
  for bank, before in zip(
    state.memory[:2], variables.state.memory[:2], strict=True
  ):
    moved = np.flatnonzero(np.any(bank != before, axis=1))
    np.testing.assert_array_equal(moved, np.sort(cases.INDEX[cases.KEEP]))


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
    cases.crd(labels=labels)
