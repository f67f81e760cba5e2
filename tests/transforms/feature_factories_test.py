"""Factories of feature losses: values by hand, gradients, padding, state."""

import functools

import jax
import numpy as np
import pytest
from factory_cases import feature_connected, feature_plain

from kdjax import transforms

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_STEP = np.int32(7)
_FAST_COMPILE = {'xla_backend_optimization_level': 0}
_CASES = feature_plain.CASES | feature_connected.CASES


def _taps(shapes, seed):
  rng = np.random.RandomState(seed)
  return {n: rng.randn(4, *s).astype(np.float32) for n, s in shapes.items()}


def _padded(taps, padding):
  """Rows 0 to 3 at 0, 2, 3 and 5 of six."""

  def pad(x):
    rows = np.full((6, *x.shape[1:]), padding, np.float32)
    rows[np.array([0, 2, 3, 5])] = x
    return rows

  return {name: pad(x) for name, x in taps.items()}


def _structs(taps):
  return {n: jax.ShapeDtypeStruct(x.shape, x.dtype) for n, x in taps.items()}


def _filled(shapes):
  """Random numbers in the place of what `init` makes; faster than it."""
  rng = np.random.RandomState(5)

  def fill(leaf):
    if leaf.dtype == np.uint32:
      return rng.randint(2**31, size=leaf.shape).astype(np.uint32)
    return rng.uniform(-0.5, 1, leaf.shape).astype(leaf.dtype)

  return jax.tree.map(fill, shapes)


def _close(a, b):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(
      np.asarray(x), np.asarray(y), rtol=2e-4, atol=2e-6
    ),
    a,
    b,
  )


@pytest.mark.parametrize('name', _CASES)
def test_value_gradients_padding_and_state(name):
  term, student_shapes, teacher_shapes, by_hand, has_state = _CASES[name]
  student, teacher = _taps(student_shapes, 0), _taps(teacher_shapes, 1)
  variables = _filled(
    jax.eval_shape(
      lambda key: term.init(key, _structs(student), _structs(teacher)),
      jax.random.key(0),
    )
  )

  @functools.partial(jax.jit, compiler_options=_FAST_COMPILE)
  def slopes(student, teacher):
    def value(params, student):
      own = variables._replace(params=params)
      value, state, metrics = term.apply(own, student, teacher, batch, _STEP)
      return value, (state, metrics)

    return jax.value_and_grad(value, (0, 1), has_aux=True)(
      variables.params, student
    )

  # Padding is as if absent, whatever it holds.
  batch = {'weight': np.float32([1.5, 0, 1.5, 1.5, 0, 1.5])}
  result, other = (
    slopes(_padded(student, padding), _padded(teacher, padding))
    for padding in (np.nan, 1e3)
  )
  _close(result, other)
  (value, (state, metrics)), gradients = result
  expected = jax.jit(by_hand)(variables.params, student, teacher)
  assert value == pytest.approx(float(np.mean(expected)), rel=1e-4)
  assert metrics == {}
  for gradient in gradients[1].values():
    np.testing.assert_array_equal(gradient[batch['weight'] == 0], 0)
  # Every connector and every tap of the student is reached.
  for part in (*gradients[0].values(), *gradients[1].values()):
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(part)) > 0
  changed = jax.tree.map(lambda a, b: np.any(a != b), state, variables.state)
  assert all(jax.tree.leaves(changed))
  assert bool(jax.tree.leaves(changed)) == has_state


def test_vectors_are_maps_of_one_position():
  vectors = (
    {'a': np.ones((2, 3), np.float32)},
    {'a': np.ones((2, 5), np.float32)},
  )
  for make in (transforms.inter_channel, transforms.variational_information):
    term = make(student='a', teacher='a')
    variables = jax.eval_shape(term.init, jax.random.key(0), *vectors)
    value, _, _ = jax.eval_shape(term.apply, variables, *vectors, {}, _STEP)
    assert value.shape == ()


def test_connectors_only_where_they_are_needed():
  same = {'a': np.ones((2, 2, 2, 3), np.float32)}
  for make in (
    transforms.channel_wise,
    transforms.pearson_feature,
    transforms.activation_boundary,
  ):
    variables = make(student='a', teacher='a').init(
      jax.random.key(0), same, same
    )
    assert variables.params == variables.state == {}


def test_margins_of_a_teacher():
  norm = {'scale': np.ones(2, np.float32), 'bias': np.float32([0, -1e4])}
  margins = transforms.overhaul_margins(
    {'stage': {'norm': norm}}, {'a': 'stage/norm'}
  )
  np.testing.assert_allclose(margins['a'], [-np.sqrt(2 / np.pi), -1e4], 1e-5)
  with pytest.raises(ValueError, match=r"paths .*'stage/none' for 'a'"):
    transforms.overhaul_margins({'stage': {'norm': norm}}, {'a': 'stage/none'})
