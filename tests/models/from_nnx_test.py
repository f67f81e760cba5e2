import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kdjax import models


class _Net(nnx.Module):
  def __init__(self, rngs, *, rate=0.0):
    self.layers = nnx.List(
      [
        nnx.Linear(4, 4, rngs=rngs),
        nnx.Linear(4, 32, rngs=rngs),
      ]
    )
    self.norm = nnx.BatchNorm(32, momentum=0.9, rngs=rngs)
    self.dropout = nnx.Dropout(rate, rngs=rngs)

  def __call__(self, x):
    for layer in self.layers:
      x = layer(x)
      self.sow(nnx.Intermediate, 'hidden', x)
    x = self.norm(x)
    self.sow(nnx.Intermediate, 'embedding', x)
    return self.dropout(x)


def _inputs():
  return jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)


def _hidden(net, inputs):
  x, hidden = np.asarray(inputs, np.float64), []
  for layer in net.layers:
    x = x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
    hidden.append(x)
  return hidden


def test_init_is_the_constructor():
  model = models.from_nnx(_Net)
  key = jax.random.key(3)
  variables = model.init(key, {'image': _inputs()})
  net = _Net(nnx.Rngs(key))
  np.testing.assert_array_equal(
    variables.params['layers']['1']['kernel'], net.layers[1].kernel[...]
  )
  assert set(variables.params) == {'layers', 'norm'}
  chex.assert_trees_all_equal(
    variables.state, {'norm': {'mean': np.zeros(32), 'var': np.ones(32)}}
  )
  other = model.init(jax.random.key(4), {'image': _inputs()})
  assert (
    other.params['layers']['0']['kernel']
    != variables.params['layers']['0']['kernel']
  ).all()
  chex.assert_trees_all_close(
    jax.jit(model.init)(key, {'image': _inputs()}), variables, rtol=1e-6
  )


@pytest.mark.parametrize('jit', [False, True])
def test_eval_and_train_against_numpy(jit):
  model = models.from_nnx(_Net)
  inputs = _inputs()
  variables = model.init(jax.random.key(0), {'image': inputs})
  hidden = _hidden(_Net(nnx.Rngs(jax.random.key(0))), inputs)
  mean, var = hidden[1].mean(0), hidden[1].var(0)
  apply = jax.jit(model.apply, static_argnames='train') if jit else model.apply

  outputs, state = apply(variables, {'image': inputs})
  assert set(outputs) == {'logits', 'hidden/0', 'hidden/1', 'embedding'}
  close = {'rtol': 1e-4, 'atol': 1e-5}
  np.testing.assert_allclose(outputs['hidden/0'], hidden[0], **close)
  np.testing.assert_allclose(outputs['hidden/1'], hidden[1], **close)
  np.testing.assert_allclose(
    outputs['logits'], hidden[1] / np.sqrt(1 + 1e-5), **close
  )
  chex.assert_trees_all_equal(state, variables.state)

  outputs, state = apply(variables, {'image': inputs}, train=True)
  expected = (hidden[1] - mean) / np.sqrt(var + 1e-5)
  np.testing.assert_allclose(outputs['logits'], expected, atol=1e-4)
  chex.assert_trees_all_close(
    state,
    {'norm': {'mean': 0.1 * mean, 'var': 0.9 + 0.1 * var}},
    rtol=1e-4,
    atol=1e-6,
  )


def test_state_feeds_back():
  model = models.from_nnx(_Net)
  inputs = _inputs()
  variables = model.init(jax.random.key(0), {'image': inputs})
  _, state = model.apply(variables, {'image': inputs}, train=True)
  _, state = model.apply(
    variables._replace(state=state), {'image': inputs}, train=True
  )
  mean = _hidden(_Net(nnx.Rngs(jax.random.key(0))), inputs)[1].mean(0)
  np.testing.assert_allclose(
    state['norm']['mean'], (0.1 + 0.9 * 0.1) * mean, rtol=1e-4, atol=1e-6
  )


def test_gradients_reach_the_taps():
  model = models.from_nnx(_Net)
  inputs = _inputs()
  variables = model.init(jax.random.key(0), {'image': inputs})

  def total(params):
    return model.apply(variables._replace(params=params), {'image': inputs})[0][
      'hidden/0'
    ].sum()

  gradient = jax.jit(jax.grad(total))(variables.params)
  np.testing.assert_allclose(
    gradient['layers']['0']['kernel'],
    np.tile(np.asarray(inputs).sum(0)[:, None], (1, 4)),
    rtol=1e-5,
  )
  np.testing.assert_array_equal(gradient['layers']['1']['kernel'], 0.0)


@pytest.mark.parametrize('jit', [False, True])
def test_dropout_draws_from_the_key(jit):
  model = models.from_nnx(lambda rngs: _Net(rngs, rate=0.5))
  inputs = _inputs()
  variables = model.init(jax.random.key(0), {'image': inputs})

  def train(key):
    return model.apply(variables, {'image': inputs}, train=True, key=key)[0][
      'logits'
    ]

  train = jax.jit(train) if jit else train
  first, again, other = (train(jax.random.key(i)) for i in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert 0.4 < (first == 0.0).mean() < 0.6
  assert ((first == 0.0) != (other == 0.0)).any()
  with pytest.raises(ValueError, match=r'key must be given .* got None'):
    train(None)
  outputs, _ = model.apply(variables, {'image': inputs})
  assert not (outputs['logits'] == 0.0).any()


class _TwoDropouts(nnx.Module):
  def __init__(self, rngs):
    self.first = nnx.Dropout(0.5, rngs=rngs)
    self.second = nnx.Dropout(0.5, rngs=rngs)

  def __call__(self, x):
    return {'logits': self.first(x), 'second': self.second(x)}


def test_streams_draw_apart():
  model = models.from_nnx(_TwoDropouts)
  inputs = jnp.ones((8, 16))
  variables = model.init(jax.random.key(0), {'image': inputs})
  assert variables == models.ModelVariables({}, {})
  outputs, _ = model.apply(
    variables, {'image': inputs}, train=True, key=jax.random.key(1)
  )
  assert (outputs['logits'] != outputs['second']).any()
