"""Connectors: shapes of parameters as published, arithmetic as loops."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.transforms import connectors
from kdjax.transforms.connectors.review import resize_nearest

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def _map(*shape, seed=0):
  return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def _shapes(module, *inputs):
  """Shapes of the parameters by path, without computing anything."""
  variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  flat = jax.tree.leaves_with_path(variables['params'])
  return {
    '/'.join(part.key for part in path).replace('conv/', ''): leaf.shape
    for path, leaf in flat
  }


def _norm(name, channels):
  return {f'{name}/{part}': (channels,) for part in ('scale', 'bias')}


def _conv(name, *kernel):
  return {f'{name}/kernel': kernel, f'{name}/bias': kernel[-1:]}


def test_paraphraser_and_translator():
  encoder = {
    **_conv('encoder1', 3, 3, 6, 6),
    **_conv('encoder2', 3, 3, 6, 3),
    **_conv('encoder3', 3, 3, 3, 3),
  }
  assert _shapes(connectors.Paraphraser(6, 3), _map(1, 4, 4, 6)) == {
    **encoder,
    **_conv('decoder1', 3, 3, 3, 3),
    **_conv('decoder2', 3, 3, 3, 6),
    **_conv('decoder3', 3, 3, 6, 6),
  }
  assert _shapes(connectors.Translator(3), _map(1, 4, 4, 6)) == {
    **encoder,
    **_norm('norm1', 6),
    **_norm('norm2', 3),
    **_norm('norm3', 3),
  }


@pytest.mark.parametrize(
  ('source', 'kernel'),
  [
    ((8, 8), (3, 3)),
    ((2, 2), (4, 4)),
    ((4, 4), (1, 1)),
    ((6, 5), (3, 2)),
  ],
)
def test_boundary_connector(source, kernel):
  module = connectors.BoundaryConnector((4, 4, 5))
  x = _map(1, *source, 3)
  assert _shapes(module, x) == {
    **_conv('connector', *kernel, 3, 5),
    **_norm('norm', 5),
  }
  result, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
  assert result.shape == (1, 4, 4, 5)


def test_other_parameters():
  x = _map(1, 4, 4, 6)
  assert _shapes(connectors.NormalisedProjection(5), x) == {
    'projection/kernel': (1, 1, 6, 5),
    **_norm('norm', 5),
  }
  assert _shapes(connectors.VariationalRegressor(5, 7), x) == {
    'layer1/kernel': (1, 1, 6, 7),
    'layer2/kernel': (1, 1, 7, 7),
    'layer3/kernel': (1, 1, 7, 5),
    'log_scale': (5,),
  }
  assert _shapes(connectors.SimKDProjector(8), x) == {
    'layer1/kernel': (1, 1, 6, 4),
    'layer2/kernel': (3, 3, 4, 4),
    'layer3/kernel': (1, 1, 4, 8),
    **_norm('norm1', 4),
    **_norm('norm2', 4),
    **_norm('norm3', 8),
  }
  generator = {
    **_conv('generator1', 3, 3, 8, 8),
    **_conv('generator2', 3, 3, 8, 8),
  }
  hidden = np.zeros((1, 4, 4), bool)
  assert _shapes(connectors.MaskedGenerator(8), x, hidden[..., None]) == {
    **_conv('align', 1, 1, 6, 8),
    **generator,
  }
  assert _shapes(connectors.TokenGenerator(8), x, hidden) == {
    'align/dense/kernel': (6, 8),
    'align/dense/bias': (8,),
    'mask_token': (8,),
    **generator,
  }
  assert set(_shapes(connectors.MaskedGenerator(6), x, True)) == set(generator)


def test_review_fusion():
  stages = [_map(1, 4, 4, 6), _map(1, 1, 1, 3)]
  module = connectors.ReviewFusion(((8, 8, 5), (1, 1, 7)), 3)
  assert _shapes(module, stages) == {
    'fusion1/input/kernel': (1, 1, 6, 3),
    **_norm('fusion1/input_norm', 3),
    **_conv('fusion1/attention', 1, 1, 6, 2),
    'fusion1/output/kernel': (3, 3, 3, 5),
    **_norm('fusion1/output_norm', 5),
    'fusion2/input/kernel': (1, 1, 3, 3),
    **_norm('fusion2/input_norm', 3),
    'fusion2/output/kernel': (3, 3, 3, 7),
    **_norm('fusion2/output_norm', 7),
  }
  outputs, _ = jax.eval_shape(
    module.init_with_output, jax.random.key(0), stages
  )
  assert [x.shape for x in outputs] == [(1, 8, 8, 5), (1, 1, 1, 7)]


def test_attention_fusion_gates():
  x, deeper = _map(2, 2, 2, 3), _map(2, 1, 1, 4, seed=1)
  module = connectors.AttentionFusion(4, (2, 2, 5))
  variables = jax.jit(module.init)(jax.random.key(0), x, deeper)
  apply = functools.partial(module.apply, mutable=['batch_stats'])
  (_, passed), _ = jax.jit(apply)(variables, x, deeper)
  params = variables['params']
  y = x @ np.asarray(params['input']['conv']['kernel'])[0, 0]
  y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
  z = np.broadcast_to(deeper, y.shape)
  conv = jax.tree.map(np.asarray, params['attention']['conv'])
  gates = np.concatenate([y, z], -1) @ conv['kernel'][0, 0] + conv['bias']
  gates = 1 / (1 + np.exp(-gates))
  expected = y * gates[..., :1] + z * gates[..., 1:]
  np.testing.assert_allclose(np.asarray(passed), expected, 1e-4, 1e-5)


def test_nearest_is_pytorchs():
  x = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
  small = resize_nearest(x, (3, 1))
  np.testing.assert_array_equal(np.ravel(small), [0, 1, 3])
  large = resize_nearest(x, (7, 2))[..., 0, 0]
  np.testing.assert_array_equal(np.ravel(large), [0, 0, 1, 2, 2, 3, 4])


def test_start_is_pytorchs():
  x = jnp.zeros((1, 2, 2, 64))
  variables = connectors.Convolution(256, 3).init(jax.random.key(0), x)
  bound = (9 * 64) ** -0.5
  for name in ('kernel', 'bias'):
    leaf = np.asarray(variables['params']['conv'][name])
    assert 0.95 * bound < np.abs(leaf).max() <= bound
    assert leaf.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_variances_start_from_the_given_one():
  module = connectors.VariationalRegressor(4, 2, variance=3.0, eps=1e-3)
  variables = jax.jit(module.init)(jax.random.key(0), _map(1, 1, 1, 3))
  log_scale = np.asarray(variables['params']['log_scale'])
  np.testing.assert_allclose(np.log1p(np.exp(log_scale)) + 1e-3, 3.0, 1e-5)


@pytest.mark.parametrize('shape', [(6, 3), (6, 2, 2, 3)])
def test_batch_norm_is_flax_without_padding(shape):
  x, module = _map(*shape), connectors.BatchNorm()
  variables = jax.jit(module.init)(jax.random.key(0), x)
  flax = nn.BatchNorm(use_running_average=False, momentum=0.9)
  expected = flax.apply(variables, x[1:], mutable=['batch_stats'])
  x[0] = np.nan
  mask = np.float32([0, 1, 1, 2, 1, 1])
  result = module.apply(variables, x, mask, mutable=['batch_stats'])
  result = result[0][1:], dict(result[1])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.asarray(a), np.asarray(b), 1e-4, 1e-5
    ),
    result,
    (expected[0], dict(expected[1])),
  )
  stored = {**variables, **result[1]}
  answer = module.apply(stored, x[1:], train=False)
  flax = nn.BatchNorm(use_running_average=True)
  np.testing.assert_allclose(
    np.asarray(answer), np.asarray(flax.apply(stored, x[1:])), 1e-4, 1e-5
  )


def test_float64_stays():
  with jax.enable_x64(True):
    x = jnp.ones((2, 4, 4, 3))
    module = connectors.SimKDProjector(4)
    result, variables = jax.eval_shape(
      module.init_with_output, jax.random.key(0), x
    )
  leaves = jax.tree.leaves((result, variables))
  assert {leaf.dtype for leaf in leaves} == {np.dtype('float64')}
