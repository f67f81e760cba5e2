import jax
import jax.numpy as jnp
import numpy as np

from kdjax import models


def _setup(dtype=jnp.float32):
  inputs = jnp.asarray(
    np.random.default_rng(0).normal(size=(6, 4, 4, 2)), jnp.float32
  )
  model = models.from_linen(models.MLP((16, 8), 3, dtype=dtype))
  return model, model.init(jax.random.key(0), {'image': inputs}), inputs


def _reference(params, inputs):
  """Outputs in float64."""
  x = np.asarray(inputs, np.float64).reshape(len(inputs), -1)
  outputs = {}
  for name in ('stage1', 'stage2'):
    dense = params[name]['dense']
    x = x @ np.asarray(dense['kernel'], np.float64) + np.asarray(dense['bias'])
    outputs[f'{name}/dense'] = outputs[f'{name}/preactivation'] = x
    outputs[name] = x = np.maximum(x, 0.0)
  outputs['embedding'] = x
  head = params['head']
  x = x @ np.asarray(head['kernel'], np.float64) + np.asarray(head['bias'])
  outputs['head'] = outputs['logits'] = x
  return outputs


def test_against_numpy():
  model, variables, inputs = _setup()
  expected = _reference(variables.params, inputs)
  for apply in (model.apply, jax.jit(model.apply)):
    outputs, state = apply(variables, {'image': inputs})
    assert state == {}
    assert set(outputs) == set(expected)
    for name, value in expected.items():
      np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-6)


def test_gradient_through_a_tap():
  model, variables, inputs = _setup()

  def total(params):
    outputs, _ = model.apply(
      variables._replace(params=params), {'image': inputs}
    )
    return outputs['embedding'].sum()

  gradient = jax.grad(total)(variables.params)
  active = _reference(variables.params, inputs)['embedding'] > 0.0
  np.testing.assert_allclose(
    gradient['stage2']['dense']['bias'], active.sum(0), rtol=1e-6
  )
  assert (gradient['stage1']['dense']['kernel'] != 0.0).any()
  np.testing.assert_array_equal(gradient['head']['kernel'], 0.0)


def test_bfloat16_computes_only():
  model, variables, inputs = _setup(jnp.bfloat16)
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  outputs, _ = model.apply(variables, {'image': inputs})
  assert outputs['stage1'].dtype == jnp.bfloat16
  assert outputs['logits'].dtype == jnp.float32
  expected = _reference(variables.params, inputs)['logits']
  np.testing.assert_allclose(outputs['logits'], expected, atol=0.1)
