"""Relations as terms: taps of any rank, weights as a mask, errors."""

import functools

import jax
import numpy as np
import pytest
from references import relation as reference

from kdjax.transforms import UnknownTapError
from kdjax.transforms import relation as factories

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_WEIGHT = np.float32([6 / 4, 0, 6 / 4, 6 / 4, 6 / 4, 0])
_KEEP = _WEIGHT > 0


def _one_minus(alignment):
  return lambda s, t: 1 - alignment(s, t)


CASES = {
  'similarity': (
    factories.similarity_preserving,
    reference.similarity_preserving_loss,
  ),
  'probabilistic': (
    factories.probabilistic_transfer,
    reference.probabilistic_transfer_loss,
  ),
  'linear cka': (factories.linear_cka, _one_minus(reference.linear_cka)),
  'rbf cka': (factories.rbf_cka, _one_minus(reference.rbf_cka)),
  'rbf cka wide': (
    functools.partial(factories.rbf_cka, bandwidth=2.0),
    _one_minus(functools.partial(reference.rbf_cka, bandwidth=2.0)),
  ),
}


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _apply(term, student, teacher, batch):
  variables = term.init(jax.random.key(0), student, teacher)
  assert variables == ({}, {})
  value, state, metrics = jax.jit(term.apply)(
    variables, student, teacher, batch, np.int32(0)
  )
  assert state == metrics == {}
  return value


@pytest.mark.parametrize('name', CASES)
def test_maps_are_flattened_and_padding_left_out(name):
  factory, loops = CASES[name]
  student, teacher = {'a': _normal(0, 6, 2, 2, 2)}, {'b': _normal(1, 6, 4)}
  expected = loops(student['a'].reshape(6, -1)[_KEEP], teacher['b'][_KEEP])
  student['a'][~_KEEP] = teacher['b'][~_KEEP] = np.nan
  term = factory(student='a', teacher='b')
  value = _apply(term, student, teacher, {'weight': _WEIGHT})
  assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('name', [n for n in CASES if n != 'similarity'])
def test_embeddings_by_default(name):
  factory, loops = CASES[name]
  x, y = _normal(2, 5, 3), _normal(3, 5, 4)
  value = _apply(factory(), {'embedding': x}, {'embedding': y}, {})
  assert value == pytest.approx(loops(x, y), rel=1e-4)


@pytest.mark.parametrize('name', CASES)
def test_unknown_taps(name):
  factory, _ = CASES[name]
  taps = {'stage1': _normal(0, 2, 3)}
  for names, blamed in (
    ({'student': 'embedding', 'teacher': 'stage1'}, 'student'),
    ({'student': 'stage1', 'teacher': 'embedding'}, 'teacher'),
  ):
    with pytest.raises(
      UnknownTapError,
      match=rf"^{blamed} has no output 'embedding'; it has stage1\.$",
    ):
      factory(**names).init(jax.random.key(0), taps, taps)


def test_bandwidth_must_be_positive():
  with pytest.raises(
    ValueError, match=r'^rbf_cka: bandwidth must be above 0, got 0\.$'
  ):
    factories.rbf_cka(bandwidth=0)


def _graph_outputs():
  student = {'a': _normal(0, 6, 4, 4, 2), 'b': _normal(1, 6, 2, 2, 4)}
  teacher = {'c': _normal(2, 6, 2, 2, 4), 'd': _normal(3, 6, 8)}
  student['logits'], teacher['logits'] = _normal(4, 6, 3), _normal(5, 6, 3)
  return student, teacher


def _graph(**kwargs):
  return factories.instance_relation_graph(
    student_layers=['a', 'b'], teacher_layers=('c', 'd'), **kwargs
  )


def test_instance_relation_graph():
  student, teacher = _graph_outputs()
  s, t = ({k: x[_KEEP] for k, x in o.items()} for o in (student, teacher))
  layers = [s['a'], s['b']], [t['c'], t['d']]
  expected = reference.instance_relation_graph_loss(
    s['logits'], t['logits'], *layers
  )
  for outputs in (student, teacher):
    for x in outputs.values():
      x[~_KEEP] = np.nan
  batch = {'weight': _WEIGHT}
  value = _apply(_graph(), student, teacher, batch)
  assert value == pytest.approx(expected, rel=1e-4)
  vertices = reference.instance_vertex_loss(s['logits'], t['logits'])
  moves = reference.instance_transformation_loss(*layers)
  term = _graph(vertex_weight=2.0, edge_weight=0.0, transformation_weight=3.0)
  value = _apply(term, student, teacher, batch)
  assert value == pytest.approx(2 * vertices + 3 * moves, rel=1e-4)


def test_instance_relation_graph_checks_its_outputs():
  student, teacher = _graph_outputs()
  key = jax.random.key(0)
  with pytest.raises(UnknownTapError, match=r"^teacher has no output 'c'"):
    _graph().init(key, student, {'logits': teacher['logits']})
  with pytest.raises(UnknownTapError, match=r"^student has no output 'logits'"):
    _graph().init(key, {'a': student['a']}, teacher)
  teacher['logits'] = _normal(0, 6, 7)
  with pytest.raises(ValueError, match='same number of classes, got 3 and 7'):
    _graph().init(key, student, teacher)


@pytest.mark.parametrize(
  ('student', 'teacher', 'message'),
  [
    ('stage1', ['c'], "student_layers must be one or more names, got 'stage1'"),
    (['a'], [], r'teacher_layers must be one or more names, got \[\]'),
    (['a', 'b'], ['c'], r"must be as many, got \['a', 'b'\] and \['c'\]"),
  ],
)
def test_instance_relation_graph_checks_its_layers(student, teacher, message):
  with pytest.raises(ValueError, match=message):
    factories.instance_relation_graph(
      student_layers=student, teacher_layers=teacher
    )


@pytest.mark.parametrize(
  'name', ['vertex_weight', 'edge_weight', 'transformation_weight']
)
def test_instance_relation_graph_checks_its_weights(name):
  with pytest.raises(
    ValueError,
    match=rf'^instance_relation_graph: {name} must be 0 or above, got -1\.0\.$',
  ):
    _graph(**{name: -1.0})
