"""A student that answers with its teacher's classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models
from kdjax.transforms import connectors

_RANDOM = np.random.default_rng(0)
_IMAGES = _RANDOM.normal(size=(6, 2, 2, 3)).astype(np.float32)
_HEAD = {
  'kernel': _RANDOM.normal(size=(4, 5)).astype(np.float32),
  'bias': _RANDOM.normal(size=5).astype(np.float32),
}


def _dense(params, features):
  return features @ params['kernel'] + params['bias'][None]


def _model(size=(1, 1)):
  return models.reuse_classifier(
    models.from_linen(models.MLP((7,), 5)),
    connectors.SimKDProjector(4, size=size),
    _dense,
    jax.tree.map(jnp.asarray, _HEAD),
    tap='stage1',
  )


def _by_hand(params, statistics=None):
  """Projected features and new statistics, in float64.

  Of a map of one position a 3x3 convolution sees its middle alone.
  """
  params, statistics = jax.tree.map(np.float64, (params, statistics))
  layer = params['student']['stage1']['dense']
  x = np.float64(_IMAGES.reshape(6, -1)) @ layer['kernel'] + layer['bias']
  x, own, used = np.maximum(x, 0), params['projector'], {}
  for i, middle in ((1, 0), (2, 1), (3, 0)):
    x = x @ own[f'layer{i}']['conv']['kernel'][middle, middle]
    norm = own[f'norm{i}']
    used[f'norm{i}'] = mean, var = x.mean(axis=0), x.var(axis=0)
    if statistics:
      mean, var = (statistics[f'norm{i}'][name] for name in ('mean', 'var'))
    x = (x - mean) / np.sqrt(var + 1e-5) * norm['scale'] + norm['bias']
    x = np.maximum(x, 0)
  return x, used


def test_training_by_hand():
  model = _model()
  variables = model.init(jax.random.key(0), {'image': _IMAGES})
  outputs, state = jax.jit(model.apply, static_argnames='train')(
    variables, {'image': _IMAGES}, train=True
  )
  projected, used = _by_hand(variables.params)
  np.testing.assert_allclose(
    outputs['projected'][:, 0, 0], projected, rtol=1e-4, atol=1e-4
  )
  np.testing.assert_allclose(
    outputs['logits'],
    projected @ _HEAD['kernel'] + _HEAD['bias'],
    rtol=1e-4,
    atol=1e-4,
  )
  np.testing.assert_allclose(
    state['projector']['batch_stats']['norm3']['mean'],
    0.1 * used['norm3'][0],
    rtol=1e-4,
    atol=1e-6,
  )
  assert jax.tree.structure(state) == jax.tree.structure(variables.state)


def test_inference_uses_the_running_statistics():
  model = _model()
  variables = model.init(jax.random.key(0), {'image': _IMAGES})
  outputs, state = model.apply(variables, {'image': _IMAGES})
  running = variables.state['projector']['batch_stats']
  projected, _ = _by_hand(variables.params, running)
  np.testing.assert_allclose(
    outputs['projected'][:, 0, 0], projected, rtol=1e-4, atol=1e-5
  )
  jax.tree.map(np.testing.assert_array_equal, state, variables.state)


def test_gradients_reach_student_and_projector_not_the_classifier():
  model = _model()
  variables = model.init(jax.random.key(0), {'image': _IMAGES})

  def loss(params):
    outputs, _ = model.apply(
      models.ModelVariables(params, variables.state),
      {'image': _IMAGES},
      train=True,
    )
    return jnp.mean(jnp.square(outputs['logits']))

  gradients = jax.grad(loss)(variables.params)
  assert 'classifier' not in gradients
  # The projector's last layer hears of the loss, the unused head does not.
  assert np.abs(gradients['projector']['layer3']['conv']['kernel']).max() > 0
  assert np.abs(gradients['student']['stage1']['dense']['kernel']).max() > 0
  assert np.abs(gradients['student']['head']['kernel']).max() == 0


def test_the_student_starts_as_it_does_alone():
  alone = models.from_linen(models.MLP((7,), 5))
  jax.tree.map(
    np.testing.assert_array_equal,
    _model().init(jax.random.key(3), {'image': _IMAGES}).params['student'],
    alone.init(jax.random.key(3), {'image': _IMAGES}).params,
  )


def test_a_larger_map_is_pooled_and_a_smaller_one_is_not():
  x = jnp.asarray(_RANDOM.normal(size=(2, 4, 4, 3)), jnp.float32)
  for size, expected in (((2, 2), (2, 2)), ((8, 3), (4, 3)), (None, (4, 4))):
    projector = connectors.SimKDProjector(4, size=size)
    result, _ = projector.init_with_output(jax.random.key(0), x)
    assert result.shape == (2, *expected, 4)


@pytest.mark.parametrize('factor', [0, 5])
def test_factors_that_leave_no_bottleneck(factor):
  projector = connectors.SimKDProjector(4, factor=factor)
  with pytest.raises(ValueError, match=f'factor must be .*, 4, got {factor}'):
    projector.init(jax.random.key(0), jnp.ones((1, 2, 2, 3)))
