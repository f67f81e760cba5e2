import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import errors
from flax import linen as nn

from kdjax import models


class _Pair(nn.Module):
  @nn.compact
  def __call__(self, x):
    return x, 2.0 * x


class _Oddities(nn.Module):
  """A shared module, a module that returns a tuple, values sown twice."""

  @nn.compact
  def __call__(self, x):
    shared = nn.Dense(3, name='shared')
    x = shared(shared(x))
    x, twice = _Pair(name='pair')(x)
    self.sow('intermediates', 'seen', x)
    self.sow('intermediates', 'seen', twice)
    self.sow('intermediates', 'total', x, init_fn=lambda: 0.0, reduce_fn=_add)
    self.sow('intermediates', 'total', x, init_fn=lambda: 0.0, reduce_fn=_add)
    self.sow('intermediates', 'note', 'not an array')
    return {'logits': x, 'extra': twice}


def _add(left, right):
  return left + right


class _Noisy(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(64, use_bias=False)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    return nn.Dropout(0.5, deterministic=not train)(x)


def _noisy():
  inputs = jnp.asarray(
    np.random.default_rng(0).normal(size=(8, 4)), jnp.float32
  )
  model = models.from_linen(_Noisy())
  return model, model.init(jax.random.key(0), {'image': inputs}), inputs


def test_names_of_taps():
  model = models.from_linen(_Oddities())
  assert models.taps(
    model, {'image': jax.ShapeDtypeStruct((2, 3), jnp.float32)}
  ) == dict.fromkeys(
    ['logits', 'extra', 'shared/0', 'shared/1', 'seen/0', 'seen/1', 'total'],
    (2, 3),
  )


def test_values_of_taps():
  model = models.from_linen(_Oddities())
  inputs = jnp.asarray([[1.0, -2.0, 3.0]])
  variables = model.init(jax.random.key(0), {'image': inputs})
  kernel = np.asarray(variables.params['shared']['kernel'])
  once = np.asarray(inputs) @ kernel
  twice = once @ kernel
  expected = {
    'shared/0': once,
    'shared/1': twice,
    'seen/0': twice,
    'seen/1': 2 * twice,
    'total': 2 * twice,
    'logits': twice,
    'extra': 2 * twice,
  }
  outputs, state = model.apply(variables, {'image': inputs})
  assert state == {}
  assert set(outputs) == set(expected)
  chex.assert_trees_all_close(outputs, expected, rtol=1e-5)


def test_init_is_that_of_the_module_and_jits():
  model, variables, inputs = _noisy()
  own = _Noisy().init(jax.random.key(0), inputs, train=False)
  chex.assert_trees_all_equal(variables.params, own['params'])
  chex.assert_trees_all_equal(
    variables.state, {'batch_stats': own['batch_stats']}
  )
  chex.assert_trees_all_close(
    jax.jit(model.init)(jax.random.key(0), {'image': inputs}),
    variables,
    rtol=1e-6,
  )


def test_train_returns_new_state_and_eval_the_old():
  model, variables, inputs = _noisy()
  hidden = np.asarray(inputs) @ np.asarray(
    variables.params['Dense_0']['kernel']
  )
  outputs, state = model.apply(variables, {'image': inputs})
  assert state is variables.state
  np.testing.assert_allclose(
    outputs['logits'], hidden / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-6
  )
  outputs, state = model.apply(
    variables, {'image': inputs}, train=True, key=jax.random.key(1)
  )
  statistics = state['batch_stats']['BatchNorm_0']
  np.testing.assert_allclose(
    statistics['mean'], 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6
  )
  np.testing.assert_allclose(
    statistics['var'], 0.9 + 0.1 * hidden.var(0), rtol=1e-4
  )
  expected = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
  np.testing.assert_allclose(
    outputs['BatchNorm_0'], expected, rtol=1e-3, atol=1e-4
  )


def test_dropout_draws_from_the_key():
  model, variables, inputs = _noisy()

  @jax.jit
  def logits(key):
    return model.apply(variables, {'image': inputs}, train=True, key=key)[0]

  first = logits(jax.random.key(1))
  again = logits(jax.random.key(1))
  other = logits(jax.random.key(2))
  dropped = first['logits'] == 0.0
  assert 0.4 < dropped.mean() < 0.6
  np.testing.assert_array_equal(first['logits'], again['logits'])
  assert (dropped != (other['logits'] == 0.0)).any()
  with pytest.raises(errors.InvalidRngError):
    model.apply(variables, {'image': inputs}, train=True)


def test_unread_taps_cost_nothing():
  module = models.ConvNet((4, 8), (1, 2), classes=3)
  model = models.from_linen(module)
  inputs = jnp.ones((4, 8, 8, 1))
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})

  def tapped(params, state):
    variables = models.ModelVariables(params, state)
    outputs, state = model.apply(variables, {'image': inputs}, train=True)
    return jnp.square(outputs['logits']).sum(), state

  def plain(params, state):
    logits, state = module.apply(
      {'params': params, **state}, inputs, train=True, mutable=['batch_stats']
    )
    return jnp.square(logits).sum(), state

  def cost(loss):
    gradient = jax.jit(jax.grad(loss, has_aux=True))
    compiled = gradient.lower(*variables).compile()
    memory = compiled.memory_analysis()
    return (
      compiled.cost_analysis()['flops'],
      memory.temp_size_in_bytes,
      memory.output_size_in_bytes,
    )

  assert cost(tapped) == cost(plain)
  assert min(cost(plain)) > 0
