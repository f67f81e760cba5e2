import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import vit as reference

from kdjax import models

_SHAPE = (2, 4, 6, 3)
_TINY = {'depth': 4, 'width': 8, 'heads': 2, 'classes': 5, 'patch': 2}


def _batch(shape):
  return {'image': jax.ShapeDtypeStruct(shape, jnp.float32)}


@functools.cache
def _tiny(**changes):
  """A small model, images, and variables none of which is zero or one."""
  model = models.from_linen(models.ViT(**{**_TINY, **changes}))
  generator = np.random.default_rng(0)
  images = jnp.asarray(generator.normal(size=_SHAPE), jnp.float32)
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(
      0.5 * generator.normal(size=leaf.shape), leaf.dtype
    ),
    jax.eval_shape(model.init, jax.random.key(0), {'image': images}),
  )
  return model, variables, images


@pytest.mark.parametrize('jit', [False, True])
def test_agrees_with_loops(jit):
  model, variables, images = _tiny()
  apply = jax.jit(model.apply) if jit else model.apply
  outputs, state = apply(variables, {'image': images})
  expected = reference.forward(variables.params, images)
  assert len(expected) == 4 * 5 + 3 + 2
  assert state == {}
  for name, value in expected.items():
    assert outputs[name].shape == value.shape, name
    np.testing.assert_allclose(
      outputs[name], value, rtol=2e-5, atol=2e-5, err_msg=name
    )


def test_gradient_is_slope_of_loops():
  model, variables, images = _tiny()
  generator = np.random.default_rng(1)
  weights = generator.normal(size=(2, 5))
  params = variables.params

  @jax.jit
  @jax.grad
  def gradient(params):
    outputs, _ = model.apply(
      variables._replace(params=params), {'image': images}
    )
    return jnp.sum(outputs['logits'] * jnp.asarray(weights, jnp.float32))

  gradients = jax.device_get(gradient(params))
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    # Adding one number to all scores of a query changes no weight.
    if name.endswith("['key']['bias']"):
      assert np.abs(leaf).max() < 1e-5, name
    else:
      assert np.abs(leaf).max() > 1e-4, name

  way = jax.tree.map(lambda p: generator.normal(size=p.shape), params)

  def value(step):
    moved = jax.tree.map(
      lambda p, d: np.asarray(p, np.float64) + step * d, params, way
    )
    return np.sum(reference.forward(moved, images)['logits'] * weights)

  slope = (value(1e-5) - value(-1e-5)) / 2e-5
  products = jax.tree.map(lambda g, d: np.sum(g * d), gradients, way)
  np.testing.assert_allclose(sum(jax.tree.leaves(products)), slope, rtol=1e-3)


def _count(model, shape):
  inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})
  assert variables.state == {}
  return sum(math.prod(p.shape) for p in jax.tree.leaves(variables.params))


@pytest.mark.parametrize(
  ('shape', 'patch', 'patches'),
  [((1, 32, 32, 3), 4, 64), ((1, 8, 8, 1), 2, 16)],
)
@pytest.mark.parametrize(
  ('name', 'depth', 'width'), [('vit_teacher', 6, 192), ('vit_student', 3, 64)]
)
def test_counts(name, depth, width, shape, patch, patches):
  embed = (patch**2 * shape[-1] + 1) * width + (1 + patches + 1) * width
  attention = 4 * (width + 1) * width
  perceptron = (width + 1) * 4 * width + (4 * width + 1) * width
  layer = attention + perceptron + 2 * 2 * width
  head = 2 * width + (width + 1) * 10
  count = _count(models.create(name, classes=10), shape)
  assert count == embed + depth * layer + head


@pytest.mark.parametrize(
  ('name', 'count'), [('vit_teacher', 2_693_578), ('vit_student', 158_090)]
)
def test_cifar_counts(name, count):
  assert _count(models.create(name, classes=10), (1, 32, 32, 3)) == count


@pytest.mark.parametrize(
  ('shape', 'side'), [((5, 8, 8, 1), 4), ((5, 32, 32, 3), 8)]
)
@pytest.mark.parametrize(
  ('name', 'depth', 'width'), [('vit_teacher', 6, 192), ('vit_student', 3, 64)]
)
def test_taps(name, depth, width, shape, side):
  shapes = models.taps(models.create(name, classes=7), _batch(shape))
  tokens = side**2
  expected = {'logits': (7,), 'embedding': (width,)}
  for n in range(1, depth + 1):
    expected[f'block{n}'] = (tokens, width)
    expected[f'block{n}/scores'] = (4, tokens + 1, tokens + 1)
    for part in ('query', 'key', 'value'):
      expected[f'block{n}/{part}'] = (tokens + 1, width)
  for n in (1, 2, 3):
    expected[f'stage{n}'] = (side, side, width)
  found = {
    name: shape[1:]
    for name, shape in shapes.items()
    if name.startswith(('block', 'stage', 'embedding', 'logits'))
  }
  assert found == expected
  assert all(shape[0] == 5 for shape in shapes.values())
  assert models.middle_stage(shapes) == 'stage2'


@pytest.mark.parametrize(
  ('size', 'map_size'),
  [
    ((8, 8), (4, 4)),
    ((12, 12), (4, 4)),
    ((16, 16), (8, 8)),
    ((28, 28), (7, 7)),
    ((64, 64), (8, 8)),
    ((32, 48), (8, 12)),
    ((7, 7), (1, 1)),
    ((8, 9), (8, 9)),
  ],
)
def test_automatic_patch(size, map_size):
  model = models.from_linen(models.ViT(1, 4, 1, 2))
  assert models.taps(model, _batch((1, *size, 3)))['stage1'] == (
    1,
    *map_size,
    4,
  )


def test_fewer_layers_than_stages():
  model, variables, images = _tiny(depth=2)
  outputs, _ = jax.jit(model.apply)(variables, {'image': images})
  for stage, block in [(1, 1), (2, 2), (3, 2)]:
    tokens = outputs[f'stage{stage}'].reshape(2, 6, 8)
    np.testing.assert_array_equal(tokens, outputs[f'block{block}'])


@pytest.mark.parametrize('train', [False, True])
def test_bfloat16_computes_only(train):
  model = models.create('vit_student', classes=3, dtype=jnp.bfloat16)
  inputs = jnp.ones((4, 8, 8, 1))
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})
  outputs, _ = jax.eval_shape(
    lambda variables: model.apply(variables, {'image': inputs}, train=train),
    variables,
  )
  for leaf in jax.tree.leaves(variables):
    assert leaf.dtype == jnp.float32
  for name, value in outputs.items():
    exact = name == 'logits' or name.endswith(('/scores', 'norm/norm'))
    exact |= '/norm1/norm' in name or '/norm2/norm' in name
    assert value.dtype == (jnp.float32 if exact else jnp.bfloat16), name


def test_bfloat16_is_close_to_float32():
  _, variables, images = _tiny()
  rough, _ = jax.jit(_tiny(dtype=jnp.bfloat16)[0].apply)(
    variables, {'image': images}
  )
  rough = rough['logits']
  exact = reference.forward(variables.params, images)['logits']
  assert 0.0 < np.abs(exact - rough).max() < 0.05 * np.abs(exact).max()


def test_huge_scores_are_finite():
  model, variables, images = _tiny(depth=1)
  params = jax.tree.map(lambda leaf: 100 * np.asarray(leaf), variables.params)

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def gradient(params):
    outputs, _ = model.apply(
      variables._replace(params=params), {'image': images}
    )
    return outputs['logits'].sum(), outputs['block1/scores']

  gradients, scores = jax.device_get(gradient(params))
  assert np.abs(scores).max() > 1e4
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_dropout():
  model, variables, images = _tiny(depth=2, dropout=0.5)
  plain, _, _ = _tiny(depth=2)
  outputs, _ = model.apply(variables, {'image': images})
  undropped, _ = plain.apply(variables, {'image': images}, train=True)
  np.testing.assert_array_equal(outputs['logits'], undropped['logits'])
  first, second = (
    model.apply(
      variables, {'image': images}, train=True, key=jax.random.key(seed)
    )[0]
    for seed in (1, 2)
  )
  assert np.abs(first['logits'] - second['logits']).max() > 1e-3
  kept = np.asarray(first['dropout']) != 0.0
  assert 0.3 < kept.mean() < 0.7
  np.testing.assert_allclose(
    first['dropout'], 2.0 * kept * outputs['dropout'], rtol=1e-6
  )
  # After attention, after GELU and after the perceptron.
  masks = [np.asarray(first[f'layer1/dropout/{i}']) != 0.0 for i in range(3)]
  assert all(0.3 < mask.mean() < 0.7 for mask in masks)
  assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'depth': 0}, 'depth must be positive, got 0'),
    ({'heads': 3}, 'heads must divide width, 8, got 3'),
    ({'heads': 0}, 'heads must divide width, 8, got 0'),
    ({'patch': 0}, 'patch must be positive or None, got 0'),
    ({'dropout': 1.0}, r'dropout must be in \[0, 1\), got 1.0'),
  ],
)
def test_bad_attributes(change, message):
  with pytest.raises(ValueError, match=message):
    models.ViT(**{**_TINY, **change})


def test_patch_must_divide_image():
  model = models.from_linen(models.ViT(**{**_TINY, 'patch': 4}))
  with pytest.raises(ValueError, match='divide the image, 4x6, got 4'):
    models.taps(model, _batch(_SHAPE))
