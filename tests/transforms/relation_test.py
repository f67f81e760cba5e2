"""Relations as terms: taps of any rank, weights as a mask, errors."""

import jax
import numpy as np
import pytest
from references import losses as reference

from kdjax import transforms

both = pytest.mark.parametrize(
  ('factory', 'loops'),
  [
    (transforms.relational_distance, reference.relational_distance),
    (transforms.relational_angle, reference.relational_angle),
  ],
  ids=['distance', 'angle'],
)


def _taps(name, shape, seed):
  return {name: np.random.RandomState(seed).randn(*shape).astype(np.float32)}


def _apply(term, student, teacher, batch):
  variables = term.init(jax.random.key(0), student, teacher)
  assert variables == ({}, {})
  value, state, metrics = jax.jit(term.apply)(
    variables, student, teacher, batch, np.int32(0)
  )
  assert state == metrics == {}
  return value


@both
def test_embeddings_by_default(factory, loops):
  student, teacher = (
    _taps('embedding', (5, 3), 0),
    _taps('embedding', (5, 4), 1),
  )
  value = _apply(factory(), student, teacher, {})
  expected = loops(student['embedding'], teacher['embedding'])
  assert value == pytest.approx(expected, rel=1e-4)


@both
def test_maps_are_flattened_and_padding_left_out(factory, loops):
  student, teacher = _taps('a', (5, 2, 2, 3), 0), _taps('b', (5, 4), 1)
  weight = np.float32([5 / 3, 0, 5 / 3, 5 / 3, 0])
  keep = weight > 0
  student['a'][~keep], teacher['b'][~keep] = 100, np.nan
  value = _apply(
    factory(student='a', teacher='b'), student, teacher, {'weight': weight}
  )
  expected = loops(student['a'].reshape(5, -1)[keep], teacher['b'][keep])
  assert value == pytest.approx(expected, rel=1e-4)


@both
def test_unknown_taps(factory, loops):
  del loops
  taps = _taps('stage1', (2, 3), 0) | _taps('logits', (2, 3), 0)
  for names, blamed in (
    ({'teacher': 'stage1'}, 'student'),
    ({'student': 'stage1'}, 'teacher'),
  ):
    with pytest.raises(
      transforms.UnknownTapError,
      match=rf"^{blamed} has no output 'embedding'; it has logits, stage1\.$",
    ):
      factory(**names).init(jax.random.key(0), taps, taps)
