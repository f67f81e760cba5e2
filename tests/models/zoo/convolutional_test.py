"""ConvNet and ResNet against their definition in NumPy, in float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models
from kdjax.models.zoo.layers import ConvNorm
from kdjax.models.zoo.resnet import pad_shortcut


def _conv(x, kernel, stride):
  """Convolution with zeros around, one kernel position at a time."""
  side = kernel.shape[0]
  border = side // 2
  x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
  height = (x.shape[1] - side) // stride + 1
  width = (x.shape[2] - side) // stride + 1
  out = np.zeros((len(x), height, width, kernel.shape[-1]))
  for i in range(height):
    for j in range(width):
      row, column = i * stride, j * stride
      patch = x[:, row : row + side, column : column + side]
      out[:, i, j] = np.tensordot(patch, kernel, axes=3)
  return out


class _Reference:
  """Runs ConvNorm layers and keeps the batch statistics they have seen."""

  def __init__(self, variables, train):
    self.variables = jax.tree.map(
      lambda leaf: np.asarray(leaf, np.float64), variables
    )
    self.train = train
    self.seen = {}

  def layer(self, x, path, stride=1):
    params, stats = self.variables.params, self.variables.state['batch_stats']
    for part in path.split('/'):
      params, stats = params[part], stats[part]
    norm, stats = params['norm'], stats['norm']
    x = _conv(x, params['conv']['kernel'], stride)
    mean, var = stats['mean'], stats['var']
    if self.train:
      mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
      self.seen[path] = {
        'mean': 0.9 * stats['mean'] + 0.1 * mean,
        'var': 0.9 * stats['var'] + 0.1 * var,
      }
    x = (x - mean) / np.sqrt(var + 1e-5)
    return x * norm['scale'] + norm['bias']

  def head(self, x):
    head = self.variables.params['head']
    return x @ head['kernel'] + head['bias']

  def state(self, state, path):
    stats = state['batch_stats']
    for part in path.split('/'):
      stats = stats[part]
    return stats['norm']


def _relu(x):
  return np.maximum(x, 0.0)


def _thin(x, width):
  out = np.zeros((len(x), -(-x.shape[1] // 2), -(-x.shape[2] // 2), width))
  before = (width - x.shape[-1]) // 2
  for i in range(out.shape[1]):
    for j in range(out.shape[2]):
      for channel in range(x.shape[-1]):
        out[:, i, j, before + channel] = x[:, 2 * i, 2 * j, channel]
  return out


def _resnet8(reference, x, projection):
  taps = {}
  x = _relu(reference.layer(x, 'stem/layer1'))
  taps['stem'] = x
  for stage, width in (('stage1', 4), ('stage2', 8), ('stage3', 16)):
    stride = 1 if stage == 'stage1' else 2
    y = _relu(reference.layer(x, f'{stage}/block1/layer1', stride))
    y = reference.layer(y, f'{stage}/block1/layer2')
    if stride == 2:
      shortcut = f'{stage}/block1/shortcut'
      x = reference.layer(x, shortcut, 2) if projection else _thin(x, width)
    taps[f'{stage}/preactivation'] = taps[f'{stage}/block1'] = x + y
    taps[stage] = x = _relu(x + y)
  taps['embedding'] = x.mean((1, 2))
  taps['logits'] = reference.head(taps['embedding'])
  return taps


def _convnet(reference, x):
  taps = {}
  for stage in (1, 2):
    if stage > 1:
      # Odd maps are padded on the far side by a row that never wins.
      high, wide = x.shape[1] % 2, x.shape[2] % 2
      x = np.pad(
        x,
        ((0, 0), (0, high), (0, wide), (0, 0)),
        constant_values=-np.inf,
      )
      corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
      x = np.max(corners, axis=0)
    for layer in (1, 2):
      x = reference.layer(x, f'stage{stage}/layer{layer}')
      taps[f'stage{stage}/layer{layer}'] = x
      taps[f'stage{stage}/preactivation'] = x
      x = _relu(x)
    taps[f'stage{stage}'] = x
  taps['embedding'] = x.mean((1, 2))
  taps['logits'] = reference.head(taps['embedding'])
  return taps


def _randomised(model, inputs):
  """Variables whose norms are no identity; drawn, for speed, outside XLA."""
  generator = np.random.default_rng(1)

  def draw(path, leaf):
    if path[-1].key in ('scale', 'var'):
      value = generator.uniform(0.5, 1.5, leaf.shape)
    else:
      fan_in = np.prod(leaf.shape[:-1])
      value = generator.normal(size=leaf.shape) / np.sqrt(fan_in)
    return jnp.asarray(value, jnp.float32)

  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})
  return jax.tree_util.tree_map_with_path(draw, variables)


def _check(model, reference_of, shape, train):
  inputs = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
  variables = _randomised(model, inputs)
  reference = _Reference(variables, train)
  expected = reference_of(reference, np.asarray(inputs, np.float64))
  apply = jax.jit(model.apply, static_argnames='train')
  outputs, state = apply(variables, {'image': inputs}, train=train)
  for name, value in expected.items():
    np.testing.assert_allclose(
      outputs[name], value, rtol=1e-4, atol=1e-4, err_msg=name
    )
  assert bool(reference.seen) == train
  for path, value in reference.seen.items():
    for name in ('mean', 'var'):
      np.testing.assert_allclose(
        reference.state(state, path)[name], value[name], rtol=1e-4, atol=1e-5
      )


@pytest.mark.parametrize(
  ('projection', 'train'), [(False, False), (False, True), (True, True)]
)
def test_resnet(projection, train):
  module = models.ResNet(8, classes=3, projection=projection, widths=(4, 8, 16))
  _check(
    models.from_linen(module),
    lambda reference, x: _resnet8(reference, x, projection),
    (3, 8, 7, 1),
    train,
  )


@pytest.mark.parametrize('train', [False, True])
def test_convnet(train):
  module = models.ConvNet((4, 8), (2, 2), classes=3)
  _check(models.from_linen(module), _convnet, (3, 6, 5, 2), train)


@pytest.mark.parametrize('shape', [(2, 8, 8, 4), (1, 7, 5, 3), (1, 1, 1, 2)])
def test_pad_shortcut(shape):
  x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  np.testing.assert_array_equal(pad_shortcut(x, 8, stride=2), _thin(x, 8))


def test_kernels_keep_the_variance_of_gradients():
  variables = ConvNorm(64).init(jax.random.key(0), jnp.ones((1, 3, 3, 32)))
  kernel = variables['params']['conv']['kernel']
  assert kernel.shape == (3, 3, 32, 64)
  # 18432 draws know their deviation to half a percent.
  np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 64)), rtol=0.03)


def _split_over_two(model, variables, inputs):
  step = jax.pmap(
    lambda variables, inputs: model.apply(
      variables, {'image': inputs}, train=True
    ),
    axis_name='batch',
    in_axes=(None, 0),
    devices=jax.devices()[:2],
  )
  outputs, state = step(variables, inputs.reshape(2, -1, *inputs.shape[1:]))
  return outputs['logits'].reshape(len(inputs), -1), state


def test_axis_name_normalises_the_global_batch():
  alone = models.from_linen(models.ConvNet((4, 8), (1, 1), 3))
  together = models.from_linen(
    models.ConvNet((4, 8), (1, 1), 3, axis_name='batch')
  )
  # The halves differ, so that each one's own statistics would show.
  inputs = jnp.asarray(
    np.random.default_rng(0).normal(size=(8, 4, 4, 1))
    + np.repeat([0.0, 2.0], 4)[:, None, None, None],
    jnp.float32,
  )
  variables = _randomised(together, inputs)
  outputs, state = alone.apply(variables, {'image': inputs}, train=True)
  logits, states = _split_over_two(together, variables, inputs)
  np.testing.assert_allclose(logits, outputs['logits'], rtol=1e-4, atol=1e-5)
  expected = jax.tree.map(lambda one: np.stack([one, one]), state)
  chex.assert_trees_all_close(states, expected, rtol=1e-4, atol=1e-6)
  apart, _ = _split_over_two(alone, variables, inputs)
  assert np.abs(apart - outputs['logits']).max() > 0.1
  # Inference reads no axis, so it runs where there is none.
  outputs, _ = together.apply(variables, {'image': inputs})
  expected, _ = alone.apply(variables, {'image': inputs})
  np.testing.assert_array_equal(outputs['logits'], expected['logits'])
