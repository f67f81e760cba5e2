"""Weighted sums: weights, schedules, names, nesting, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import transforms


def _term(name):
  """The mean of a tap of the student."""
  return transforms.stateless(
    lambda student, teacher, batch: jnp.mean(student[name]), student=(name,)
  )


def _counter():
  """A term with a state that counts and a parameter that scales."""

  def init(key, student, teacher):
    del student, teacher
    return transforms.LossVariables(
      {'scale': jax.random.uniform(key)}, {'count': jnp.zeros((), jnp.int32)}
    )

  def apply(variables, student, teacher, batch, step):
    del teacher, batch, step
    count = variables.state['count'] + 1
    value = variables.params['scale'] * jnp.mean(student['a'])
    return value, {'count': count}, {'count': count}

  return transforms.LossTransform(init, apply)


_STUDENT = {'a': np.float32([1, 3]), 'b': np.float32([10, 30])}


def _apply(term, step=0):
  variables = term.init(jax.random.key(0), _STUDENT, {})
  return jax.jit(term.apply)(variables, _STUDENT, {}, {}, np.int32(step))


def test_constants():
  loss = transforms.weighted_sum(
    first=(0.5, _term('a')), second=(2, _term('b')), none=(0.0, _term('b'))
  )
  value, state, metrics = _apply(loss)
  assert value == 0.5 * 2 + 2 * 20
  assert metrics == {'first': 2, 'second': 20, 'none': 20}
  assert state == {'first': {}, 'second': {}, 'none': {}}


@pytest.mark.parametrize(
  ('schedule', 'weights'),
  [
    (optax.linear_schedule(100.0, 0.0, 50), {0: 100, 10: 80, 50: 0, 90: 0}),
    (optax.piecewise_constant_schedule(4.0, {10: 0.5}), {0: 4, 9: 4, 11: 2}),
    (optax.cosine_decay_schedule(2.0, 100), {0: 2, 50: 1, 100: 0}),
    (
      optax.warmup_cosine_decay_schedule(0.0, 3.0, 10, 110),
      {0: 0, 5: 1.5, 10: 3, 60: 1.5, 110: 0},
    ),
    (lambda step: 3.0, {0: 3, 7: 3}),
  ],
  ids=['linear', 'piecewise', 'cosine', 'warmup', 'function'],
)
def test_schedules(schedule, weights):
  loss = transforms.weighted_sum(a=(schedule, _term('a')), b=(1, _term('b')))
  apply = jax.jit(loss.apply)
  variables = loss.init(jax.random.key(0), _STUDENT, {})
  for step, weight in weights.items():
    value, _, metrics = apply(variables, _STUDENT, {}, {}, np.int32(step))
    np.testing.assert_allclose(value, 2 * weight + 20, rtol=1e-5)
    assert metrics == {'a': 2, 'b': 20}


def test_params_state_and_keys_are_per_name():
  loss = transforms.weighted_sum(x=(1.0, _counter()), y=(3.0, _counter()))
  variables = loss.init(jax.random.key(0), _STUDENT, {})
  x, y = (float(variables.params[name]['scale']) for name in 'xy')
  assert x != y
  value, state, metrics = _apply(loss)
  np.testing.assert_allclose(value, 2 * x + 6 * y, rtol=1e-6)
  assert state == {'x': {'count': 1}, 'y': {'count': 1}}
  assert set(metrics) == {'x', 'y', 'x/count', 'y/count'}
  np.testing.assert_allclose(metrics['y'], 2 * y, rtol=1e-6)
  _, state, _ = loss.apply(
    variables._replace(state=state), _STUDENT, {}, {}, jnp.int32(1)
  )
  assert state['x']['count'] == 2


def test_gradients_are_weighted():
  loss = transforms.weighted_sum(x=(0.5, _counter()), y=(-3.0, _counter()))
  variables = loss.init(jax.random.key(0), _STUDENT, {})
  slopes = jax.jit(
    jax.grad(
      lambda params: loss.apply(
        variables._replace(params=params), _STUDENT, {}, {}, jnp.int32(0)
      )[0]
    )
  )(variables.params)
  assert slopes == {'x': {'scale': 0.5 * 2}, 'y': {'scale': -3 * 2}}


def test_nested():
  inner = transforms.weighted_sum(a=(2.0, _term('a')), b=(3.0, _term('b')))
  outer = transforms.weighted_sum(inner=(10.0, inner), c=(1.0, _counter()))
  variables = outer.init(jax.random.key(0), _STUDENT, {})
  assert set(variables.params['inner']) == {'a', 'b'}
  value, state, metrics = _apply(outer)
  c = 2 * float(variables.params['c']['scale'])
  np.testing.assert_allclose(value, 10 * (2 * 2 + 3 * 20) + c, rtol=1e-6)
  assert state['inner'] == {'a': {}, 'b': {}}
  assert metrics['inner'] == 64
  assert metrics['inner/a'] == 2
  assert metrics['inner/b'] == 20
  assert set(metrics) == {'inner', 'inner/a', 'inner/b', 'c', 'c/count'}


def test_a_term_checks_its_taps():
  loss = transforms.weighted_sum(a=(1.0, _term('a')), z=(1.0, _term('z')))
  with pytest.raises(transforms.UnknownTapError, match="'z'; it has a, b"):
    loss.init(jax.random.key(0), _STUDENT, {})


def test_needs_a_term():
  with pytest.raises(ValueError, match='at least one term, got none'):
    transforms.weighted_sum()


@pytest.mark.parametrize(
  'term',
  [
    _term('a'),
    (_term('a'), 1.0),
    (1.0, _term('a'), 2.0),
    ('0.5', _term('a')),
    (1.0, lambda: None),
    1.0,
  ],
  ids=['bare', 'swapped', 'triple', 'string', 'function', 'number'],
)
def test_a_term_is_a_pair(term):
  with pytest.raises(ValueError, match=r'takes soft=\(weight, LossTransform\)'):
    transforms.weighted_sum(a=(1.0, _term('a')), soft=term)
