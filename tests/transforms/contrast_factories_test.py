"""Relations that own something: embeddings, memory, negatives, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factory_cases import contrast as cases
from references import relation as reference

from kdjax.transforms import UnknownTapError, congruence, contrast

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

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
  student, teacher = cases.taps()
  variables = cases.init(term, student, teacher)
  assert set(variables.params) == sides
  assert variables.state == {}
  value, (slopes, slope), state = cases.apply(term, variables, student, teacher)
  assert state == {}
  expected = loops(
    cases.embedded(variables.params, 'student', student),
    cases.embedded(variables.params, 'teacher', teacher),
  )
  assert value == pytest.approx(expected, rel=1e-4)
  np.testing.assert_array_equal(slope['embedding'][~cases.KEEP], 0)
  assert np.abs(slope['embedding'][cases.KEEP]).max() > 1e-4
  for side in sides:
    assert np.isfinite(slopes[side]['bias']).all()
    assert np.isfinite(slopes[side]['kernel']).all()
    assert np.abs(slopes[side]['kernel']).max() > 1e-4


def test_no_projection_where_sizes_agree():
  term = contrast.in_batch_contrastive()
  student, teacher = cases.taps(width=4)
  variables = cases.init(term, student, teacher)
  assert variables == ({}, {})
  value, _, _ = cases.apply(term, variables, student, teacher)
  expected = reference.in_batch_contrastive_loss(
    cases.embedded({}, 'student', student),
    cases.embedded({}, 'teacher', teacher),
  )
  assert value == pytest.approx(expected, rel=1e-4)


def test_defaults_of_the_papers():
  shapes = cases.shapes(cases.taps())
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
  terms = [term for term, _, _ in CASES.values()]
  terms.append(cases.crd(labels=cases.LABELS))
  with jax.enable_x64(wide):
    given = jnp.float64 if wide else jnp.bfloat16
    inside = jnp.float64 if wide else jnp.float32
    student, teacher = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, given), cases.taps()
    )
    for term in terms:
      variables = jax.eval_shape(term.init, jax.random.key(0), student, teacher)
      value, (slopes, slope), state = jax.eval_shape(
        functools.partial(cases.apply, term), variables, student, teacher
      )
      assert value.dtype == inside
      assert slope['embedding'].dtype == given
      assert slopes == variables.params
      for leaf in jax.tree.leaves(variables.params):
        assert leaf.dtype == inside
      assert state == variables.state


@pytest.mark.parametrize(
  'term', [*(term for term, _, _ in CASES.values()), cases.crd()]
)
def test_unknown_taps(term):
  array = cases.normal(0, 2, 3)
  taps, other = {'embedding': array}, {'stage1': array}
  for student, teacher, blamed in (
    (other, taps, 'student'),
    (taps, other, 'teacher'),
  ):
    with pytest.raises(
      UnknownTapError,
      match=rf"^{blamed} has no output 'embedding'; it has stage1\.$",
    ):
      term.init(jax.random.key(0), student, teacher)


_COUNT = 'an integer of 1 or more'


@pytest.mark.parametrize(
  ('factory', 'name', 'value', 'allowed'),
  [
    (congruence.correlation_congruence, 'dim', 0, _COUNT),
    (congruence.kernel_correlation_congruence, 'dim', 1.5, _COUNT),
    (congruence.kernel_correlation_congruence, 'gamma', 0.0, 'above 0'),
    (congruence.kernel_correlation_congruence, 'max_p', 0, _COUNT),
    (contrast.in_batch_contrastive, 'temperature', -1.0, 'above 0'),
    (cases.crd, 'examples', 0, _COUNT),
    (cases.crd, 'negatives', 2.5, _COUNT),
    (cases.crd, 'dim', 0, _COUNT),
    (cases.crd, 'temperature', 0.0, 'above 0'),
    (cases.crd, 'momentum', 1.5, 'from 0 to 1'),
  ],
)
def test_hyperparameters_are_checked(factory, name, value, allowed):
  # `cases.crd` is a factory with some arguments given.
  refuses = getattr(factory, 'func', factory).__name__
  with pytest.raises(
    ValueError, match=rf'^{refuses}: {name} must be {allowed}, got {value}\.$'
  ):
    factory(**{name: value})
