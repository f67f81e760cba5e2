"""Hints: the regressor's shapes, arithmetic, statistics and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import transforms

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_STEP = np.int32(0)


def _hint(**kwargs):
  return transforms.hint(student='guided', teacher='hint', **kwargs)


def _setup(student_shape, teacher_shape, **kwargs):
  """A hint, random parameters, and random taps of the shapes."""
  rng = np.random.RandomState(0)
  student = {'guided': rng.randn(*student_shape).astype(np.float32)}
  teacher = {'hint': rng.randn(*teacher_shape).astype(np.float32)}
  term = _hint(**kwargs)
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (student, teacher)
  )
  owned = jax.eval_shape(lambda key: term.init(key, *shapes), jax.random.key(0))
  # Drawn here, for the initialisers take longer to compile than all the rest.
  params = jax.tree.map(
    lambda x: rng.randn(*x.shape).astype(x.dtype) / 2, owned.params
  )
  return term, owned._replace(params=params), student, teacher


def _layer(variables):
  """Kernel and bias of the regressor's only layer with a kernel."""
  (layer,) = (p for n, p in variables.params.items() if 'BatchNorm' not in n)
  assert set(layer) == {'kernel', 'bias'}
  return np.float64(layer['kernel']), np.float64(layer['bias'])


@pytest.mark.parametrize(
  ('student_shape', 'teacher_shape', 'kernel'),
  [
    ((2, 6, 6, 3), (2, 6, 6, 5), (1, 1, 3, 5)),
    ((2, 6, 5, 3), (2, 4, 4, 5), (3, 2, 3, 5)),
    ((2, 3, 3, 3), (2, 4, 4, 5), (1, 1, 3, 5)),
    ((2, 6, 3, 3), (2, 4, 4, 5), (3, 1, 3, 5)),
    ((2, 3), (2, 5), (3, 5)),
    ((2, 7, 3), (2, 7, 5), (3, 5)),
  ],
  ids=['equal', 'larger', 'smaller', 'mixed', 'vectors', 'tokens'],
)
def test_regressor_and_its_gradients(student_shape, teacher_shape, kernel):
  term, variables, student, teacher = _setup(student_shape, teacher_shape)
  assert _layer(variables)[0].shape == kernel
  assert variables.state == {}

  def value(params, guided):
    owned = transforms.LossVariables(params, {})
    return term.apply(owned, {'guided': guided}, teacher, {}, _STEP)[0]

  slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(
    variables.params, student['guided']
  )
  for slope in jax.tree.leaves(slopes):
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0


def _regressed(features, kernel, bias):
  """A valid convolution and a ReLU, in loops."""
  features = np.float64(features)
  height, width = kernel.shape[:2]
  out = np.zeros(
    (
      features.shape[0],
      features.shape[1] - height + 1,
      features.shape[2] - width + 1,
      kernel.shape[3],
    )
  )
  for n, i, j in np.ndindex(out.shape[:3]):
    patch = features[n, i : i + height, j : j + width]
    out[n, i, j] = np.einsum('hwc,hwcd->d', patch, kernel) + bias
  return np.maximum(out, 0)


def _enlarge_height_2_to_4(x):
  """Bilinear with half-pixel centres."""
  first, last = x[:, :1], x[:, 1:]
  rows = [first, 0.75 * first + 0.25 * last, 0.25 * first + 0.75 * last, last]
  return np.concatenate(rows, axis=1)


@pytest.mark.parametrize(
  ('student_shape', 'prepare', 'mean_squared'),
  [
    ((2, 5, 4, 3), lambda x: x, False),
    ((2, 5, 4, 3), lambda x: x, True),
    ((2, 2, 3, 3), _enlarge_height_2_to_4, False),
  ],
  ids=['convolution', 'mean squared', 'enlarged'],
)
def test_value_matches_loops(student_shape, prepare, mean_squared):
  term, variables, student, teacher = _setup(
    student_shape, (2, 4, 3, 5), mean_squared=mean_squared
  )
  value, state, metrics = jax.jit(term.apply)(
    variables, student, teacher, {}, _STEP
  )
  regressed = _regressed(prepare(student['guided']), *_layer(variables))
  squares = ((regressed - teacher['hint']) ** 2).reshape(2, -1)
  expected = squares.mean() if mean_squared else squares.sum(-1).mean() / 2
  assert value == pytest.approx(expected, rel=1e-5)
  assert state == metrics == {}


def test_batch_norm_updates_its_state():
  term, _, student, teacher = _setup(
    (6, 3), (6, 5), batch_norm=True, mean_squared=True
  )
  variables = jax.jit(term.init)(jax.random.key(0), student, teacher)
  value, state, _ = jax.jit(term.apply)(variables, student, teacher, {}, _STEP)
  # Fresh: the biases are 0, the scale is 1.
  hidden = np.float64(student['guided']) @ _layer(variables)[0]
  mean, variance = hidden.mean(0), hidden.var(0)
  (before,) = variables.state['batch_stats'].values()
  np.testing.assert_array_equal(before['mean'], 0)
  np.testing.assert_array_equal(before['var'], 1)
  (after,) = state['batch_stats'].values()
  np.testing.assert_allclose(after['mean'], 0.1 * mean, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(after['var'], 0.9 + 0.1 * variance, rtol=1e-5)
  normal = np.maximum((hidden - mean) / np.sqrt(variance + 1e-5), 0)
  assert value == pytest.approx(((normal - teacher['hint']) ** 2).mean(), 1e-4)
  # The state goes round: what comes out is what goes in.
  assert jax.tree.structure(state) == jax.tree.structure(variables.state)


def test_keys_matter():
  taps = {'guided': jnp.ones((2, 3))}, {'hint': jnp.ones((2, 5))}
  init = jax.jit(_hint().init)
  kernels = [_layer(init(jax.random.key(i), *taps))[0] for i in (0, 1)]
  assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_half_precision_features_regress_in_float32():
  term, variables, student, teacher = _setup((2, 3), (2, 5))
  low = {'guided': jnp.asarray(student['guided'], jnp.bfloat16)}
  value, _, _ = jax.jit(term.apply)(variables, low, teacher, {}, _STEP)
  assert value.dtype == np.float32
  kernel, bias = _layer(variables)
  hidden = np.maximum(np.float64(low['guided']) @ kernel + bias, 0)
  expected = ((hidden - teacher['hint']) ** 2).sum(-1).mean() / 2
  assert value == pytest.approx(expected, rel=1e-5)


def test_float64_features_regress_in_float64():
  with jax.enable_x64(True):
    taps = {'guided': np.ones((2, 3))}, {'hint': np.ones((2, 5))}
    term = _hint()
    variables = jax.eval_shape(term.init, jax.random.key(0), *taps)
    value, _, _ = jax.eval_shape(term.apply, variables, *taps, {}, _STEP)
  assert value.dtype == np.float64


@pytest.mark.parametrize('padding', [1e3, np.nan])
def test_padding_in_the_teacher_does_not_reach_the_parameters(padding):
  term, variables, student, teacher = _setup((4, 3), (4, 5))
  weight = np.float32([2, 0, 2, 0])
  keep = weight > 0

  @jax.jit
  def slopes(student, teacher, batch):
    return jax.value_and_grad(
      lambda v: term.apply(v, student, teacher, batch, _STEP)[0]
    )(variables)

  expected = slopes(
    {'guided': student['guided'][keep]}, {'hint': teacher['hint'][keep]}, {}
  )
  teacher['hint'][~keep] = padding
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    slopes(student, teacher, {'weight': weight}),
    expected,
  )


@pytest.mark.parametrize(
  ('student', 'teacher', 'message'),
  [
    ({'a': (2, 3)}, {'hint': (2, 3)}, "^student has no output 'guided'; it"),
    ({'guided': (2, 3)}, {'b': (2, 3)}, "^teacher has no .*'hint'; it has b"),
    ({'guided': (2, 3)}, {'hint': (2, 4, 4, 3)}, r'rank, .*\(2, 3\) .*4, 4, 3'),
    ({'guided': (2, 9, 3)}, {'hint': (2, 4, 3)}, 'hint needs'),
  ],
  ids=['student', 'teacher', 'rank', 'tokens'],
)
def test_taps_that_do_not_fit(student, teacher, message):
  student, teacher = (
    {k: jnp.zeros(v) for k, v in taps.items()} for taps in (student, teacher)
  )
  with pytest.raises(ValueError, match=message):
    _hint().init(jax.random.key(0), student, teacher)
