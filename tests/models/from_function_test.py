import chex
import jax
import jax.numpy as jnp
import numpy as np

from kdjax import models


def _affine(params, inputs):
  return inputs @ params['kernel'] + params['bias'][None]


def test_is_the_function():
  generator = np.random.default_rng(0)
  params = {
    'kernel': jnp.asarray(generator.normal(size=(4, 3)), jnp.float32),
    'bias': jnp.asarray(generator.normal(size=3), jnp.float32),
  }
  inputs = generator.normal(size=(5, 4)).astype(np.float32)
  model = models.from_function(_affine, params)
  variables = model.init(jax.random.key(0), {'image': inputs})
  chex.assert_trees_all_equal(variables, models.ModelVariables(params, {}))
  expected = inputs @ np.asarray(params['kernel']) + np.asarray(params['bias'])
  outputs, state = model.apply(
    variables, {'image': inputs}, train=True, key=jax.random.key(1)
  )
  assert list(outputs) == ['logits']
  assert state == {}
  np.testing.assert_allclose(outputs['logits'], expected, rtol=1e-5, atol=1e-6)


def test_apply_reads_the_variables_it_is_given():
  params = {'kernel': jnp.ones((2, 2)), 'bias': jnp.zeros(2)}
  model = models.from_function(_affine, params)
  doubled = models.ModelVariables(jax.tree.map(lambda p: 2 * p, params), {})
  outputs, _ = jax.jit(model.apply)(
    doubled, {'image': jnp.asarray([[1.0, 2.0]])}
  )
  np.testing.assert_array_equal(outputs['logits'], [[6.0, 6.0]])
