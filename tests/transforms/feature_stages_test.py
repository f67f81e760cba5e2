"""Feature losses with phases, randomness or global statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import transforms
from kdjax.losses.feature import factor_transfer as factor_losses
from kdjax.transforms import connectors

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_FAST_COMPILE = {'xla_backend_optimization_level': 0}
_INDEX = np.int32([11, 4, 7, 2])


def _taps(seed, **shapes):
  rng = np.random.RandomState(seed)
  return {n: rng.randn(4, *s).astype(np.float32) for n, s in shapes.items()}


def _init(term, student, teacher):
  """Random numbers in the place of what `init` makes; faster than it."""
  rng = np.random.RandomState(5)

  def fill(leaf):
    if leaf.dtype == np.uint32:
      return rng.randint(2**31, size=leaf.shape).astype(np.uint32)
    return rng.uniform(-0.5, 1, leaf.shape).astype(leaf.dtype)

  shapes = jax.eval_shape(term.init, jax.random.key(0), student, teacher)
  return jax.tree.map(fill, shapes)


def _slopes(term):
  @functools.partial(jax.jit, compiler_options=_FAST_COMPILE)
  def slopes(variables, student, teacher, batch, step):
    def value(params, student):
      own = variables._replace(params=params)
      value, state, metrics = term.apply(own, student, teacher, batch, step)
      return value, (state, metrics)

    return jax.value_and_grad(value, (0, 1), has_aux=True)(
      variables.params, student
    )

  return slopes


def _largest(tree):
  return max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree))


def test_factor_transfer_trains_the_paraphraser_and_then_freezes_it():
  student, teacher = _taps(0, a=(4, 4, 3)), _taps(1, b=(2, 2, 5))
  term = transforms.factor_transfer(
    student='a', teacher='b', paraphraser_steps=2
  )
  variables = _init(term, student, teacher)
  slopes = _slopes(term)
  paraphraser = connectors.Paraphraser(5, 2)
  moved = variables._replace(
    params=jax.tree.map(lambda x: x + 0.1, variables.params)
  )

  @jax.jit
  def parts(params):
    return paraphraser.apply({'params': params['paraphraser']}, teacher['b'])

  # The first phase, with the params of the moment.
  (value, (state, metrics)), (params, features) = slopes(
    moved, student, teacher, {}, np.int32(1)
  )
  expected = np.mean((np.asarray(parts(moved.params)[1]) - teacher['b']) ** 2)
  assert value == pytest.approx(float(expected), rel=1e-5)
  assert value == metrics['reconstruction']
  assert _largest(params['paraphraser']) > 0
  assert _largest((params['translator'], features)) == 0
  # The step after the last: what that one made of the params counts.
  (value, (state, metrics)), (params, features) = slopes(
    moved, student, teacher, {}, np.int32(2)
  )
  translate = functools.partial(
    connectors.Translator(2).apply, mutable=['batch_stats']
  )
  translated, _ = jax.jit(translate)(
    {'params': moved.params['translator']}, student['a']
  )
  expected = factor_losses.factor_transfer_loss(
    translated, parts(moved.params)[0]
  ).mean()
  assert value == pytest.approx(float(expected), rel=1e-5)
  assert value == metrics['factor_transfer']
  assert _largest(params['paraphraser']) == 0
  assert _largest(params['translator']) > 0
  assert _largest(features) > 0
  jax.tree.map(
    np.testing.assert_array_equal,
    state['paraphraser'],
    moved.params['paraphraser'],
  )
  # From then on a params that drifts (weight decay) changes nothing.
  drifted = dict(moved.params, paraphraser=variables.params['paraphraser'])
  (later, (last, _)), _ = slopes(
    transforms.LossVariables(drifted, state), student, teacher, {}, np.int32(3)
  )
  assert later == value
  jax.tree.map(
    np.testing.assert_array_equal, last['paraphraser'], state['paraphraser']
  )


_RANDOM = {
  'channels': (
    transforms.masked_generative(student='a', teacher='a', ratio=0.5),
    {'a': (2, 3, 4)},
    {'a': (2, 3, 6)},
  ),
  'positions': (
    transforms.masked_generative(
      student='a', teacher='a', ratio=0.5, hide_channels=False
    ),
    {'a': (3, 3, 4)},
    {'a': (3, 3, 4)},
  ),
  'vitkd': (
    transforms.vitkd(
      student=tuple('abc'),
      teacher=tuple('abc'),
      mimic_weight=0.3,
      generate_weight=0.2,
    ),
    {'a': (9, 4), 'b': (9, 6), 'c': (9, 4)},
    {'a': (9, 6), 'b': (9, 6), 'c': (3, 3, 6)},
  ),
}


@pytest.mark.parametrize('name', _RANDOM)
def test_randomness(name):
  term, student_shapes, teacher_shapes = _RANDOM[name]
  student, teacher = _taps(0, **student_shapes), _taps(1, **teacher_shapes)
  variables = _init(term, student, teacher)
  assert set(variables.state) == {'key'}
  assert variables.state['key'].dtype == np.uint32
  slopes = _slopes(term)
  batch = {'index': _INDEX, 'weight': np.ones(4, np.float32)}
  step = np.int32(3)
  (value, (state, metrics)), gradients = slopes(
    variables, student, teacher, batch, step
  )
  np.testing.assert_array_equal(state['key'], variables.state['key'])
  for part in (*gradients[0].values(), *gradients[1].values()):
    assert _largest(part) > 0
  if name == 'vitkd':
    weighted = 0.3 * metrics['mimic'] + 0.2 * metrics['generate']
    assert value == pytest.approx(float(weighted), rel=1e-6)
  # Any order, and any split over devices: each example has its own draw.
  order = np.array([2, 0, 3, 1])
  shards = [
    jax.tree.map(lambda x, rows=rows: x[rows], (student, teacher, batch))
    for rows in (order[:2], order[2:])
  ]
  halves = [slopes(variables, *shard, step) for shard in shards]
  mean = np.mean([half[0][0] for half in halves])
  assert mean == pytest.approx(float(value), rel=1e-5)
  # Padding is as if absent.
  weight = np.float32([2, 0, 2, 0])
  keep = weight > 0
  few = jax.tree.map(lambda x: x[keep], (student, teacher, batch))
  expected = slopes(variables, *few, step)
  for taps in (student, teacher):
    for tap in taps.values():
      tap[~keep] = np.nan
  masked = slopes(
    variables, student, teacher, {**batch, 'weight': weight}, step
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.asarray(a), np.asarray(b), rtol=2e-4, atol=1e-5
    ),
    (masked[0][0], masked[1][0]),
    (expected[0][0], expected[1][0]),
  )
  # Another step, another draw.
  assert slopes(variables, *few, np.int32(4))[0][0] != expected[0][0]


def test_masked_generative_by_hand():
  student, teacher = _taps(0, a=(2, 2, 3)), _taps(1, a=(2, 2, 3))
  term = transforms.masked_generative(student='a', teacher='a', ratio=0.0)
  variables = _init(term, student, teacher)
  value, _, _ = jax.jit(term.apply)(
    variables, student, teacher, {}, np.int32(0)
  )
  generated = jax.jit(connectors.MaskedGenerator(3).apply)(
    {'params': variables.params}, student['a'], True
  )
  expected = ((np.asarray(generated) - teacher['a']) ** 2).sum() / 4
  assert value == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
  'plain',
  [
    transforms.inter_channel(student='a', teacher='a'),
    transforms.pearson_feature(student='a', teacher='a'),
  ],
  ids=['batch norm', 'coupling'],
)
def test_global_statistics_on_two_devices(plain):
  term = transforms.on_axis(plain, 'batch')
  student, teacher = _taps(0, a=(2, 2, 3)), _taps(1, a=(2, 2, 5))
  batch = {'weight': np.float32([4 / 3, 4 / 3, 4 / 3, 0])}
  variables = _init(plain, student, teacher)
  (value, (state, _)), (gradient, _) = _slopes(plain)(
    variables, student, teacher, batch, np.int32(0)
  )

  @functools.partial(
    jax.pmap, axis_name='batch', devices=jax.local_devices()[:2], out_axes=None
  )
  def mapped(student, teacher, batch):
    def objective(params):
      own = variables._replace(params=params)
      value, state, _ = term.apply(own, student, teacher, batch, jnp.int32(0))
      return value, state

    result = jax.value_and_grad(objective, has_aux=True)(variables.params)
    return jax.lax.pmean(result, 'batch')

  shards = jax.tree.map(
    lambda x: x.reshape(2, 2, *x.shape[1:]), (student, teacher, batch)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5
    ),
    mapped(*shards),
    ((value, state), gradient),
  )
