"""The ImageNet networks against published counts and against PyTorch."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import errors
from flax.traverse_util import flatten_dict

from kdjax import models
from kdjax.models.zoo.convnext import ConvNeXt, ConvNeXtBlock
from kdjax.models.zoo.googlenet import GoogLeNet, halved
from kdjax.models.zoo.imagenet_resnet import ImageNetResNet


def _shape(*sizes):
  return {'image': jax.ShapeDtypeStruct(sizes, jnp.float32)}


def _size(tree):
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@functools.cache
def _variables(name):
  """Shapes for 1000 classes and images of 224 pixels."""
  model = models.create(name, classes=1000)
  return jax.eval_shape(model.init, jax.random.key(0), _shape(1, 224, 224, 3))


# Of torchvision; MobileNetV1 of mdistiller; DeiT of timm.
_COUNTS = {
  'resnet18': 11_689_512,
  'resnet34': 21_797_672,
  'resnet50': 25_557_032,
  'resnet101': 44_549_160,
  'resnet152': 60_192_808,
  'mobilenetv1': 4_231_976,
  'googlenet': 6_624_904,
  'convnext_tiny': 28_589_128,
  'deit_tiny': 5_717_416,
  'deit_small': 22_050_664,
  'deit_base': 86_567_656,
  'deit_tiny_distilled': 5_910_800,
  'deit_small_distilled': 22_436_432,
  'deit_base_distilled': 87_338_192,
}


@pytest.mark.parametrize('name', _COUNTS)
def test_published_counts(name):
  assert _size(_variables(name).params) == _COUNTS[name]


@pytest.mark.parametrize(
  ('name', 'bias', 'published', 'megabytes'),
  [
    # Caffe's ResNet-50 has a bias on its first convolution, its ResNet-152 not.
    ('resnet152', 0, 60_344_232, 244),
    ('resnet50', 64, 25_610_216, 104),
  ],
)
def test_counts_of_a_case_study(name, bias, published, megabytes):
  """Weights with the norms' statistics, which no optimizer trains.

  Four bytes each make 241 and 102 MB; names and layout fill a hundredth of the
  file more.
  """
  count = _size(_variables(name)) + bias
  assert count == published
  assert 0.98 * megabytes < 4 * count / 1e6 < megabytes


# Channels of the stages, and their side in images of 224 pixels.
_STAGES = {
  'resnet18': ((64, 56), (128, 28), (256, 14), (512, 7)),
  'resnet50': ((256, 56), (512, 28), (1024, 14), (2048, 7)),
  'mobilenetv1': ((128, 56), (256, 28), (512, 14), (1024, 7)),
  'googlenet': ((480, 28), (832, 14), (1024, 7)),
  'convnext_tiny': ((96, 56), (192, 28), (384, 14), (768, 7)),
}
_STEMS = {
  'resnet18': (112, 112, 64),
  'resnet50': (112, 112, 64),
  'mobilenetv1': (112, 112, 32),
  'googlenet': (56, 56, 192),
  'convnext_tiny': (56, 56, 96),
}


@pytest.mark.parametrize('name', _STAGES)
def test_taps_of_convolutional_networks(name):
  model = models.create(name, classes=7)
  shapes = models.taps(model, _shape(2, 224, 224, 3))
  assert shapes['logits'] == (2, 7)
  channels, _ = _STAGES[name][-1]
  assert shapes['embedding'] == (2, channels)
  expected = {'stem': _STEMS[name]}
  for i, (width, side) in enumerate(_STAGES[name], start=1):
    expected[f'stage{i}'] = side, side, width
  for tap, shape in expected.items():
    assert shapes[tap] == shapes[f'{tap}/preactivation'] == (2, *shape)
  for i in range(1, len(_STAGES[name]) + 1):
    blocks = [x for x in shapes if x.startswith(f'stage{i}/block')]
    last = max(int(x.split('/')[1].removeprefix('block')) for x in blocks)
    assert shapes[f'stage{i}/block{last}'] == shapes[f'stage{i}']


def test_taps_of_a_distillation_token():
  shapes = models.taps(
    models.create('deit_tiny_distilled', classes=7), _shape(2, 224, 224, 3)
  )
  for name in ('logits', 'class_logits', 'distillation_logits'):
    assert shapes[name] == (2, 7)
  assert shapes['block12'] == (2, 196, 192)
  assert shapes['block12/query'] == (2, 198, 192)
  assert shapes['block12/scores'] == (2, 3, 198, 198)
  assert shapes['stage3'] == (2, 14, 14, 192)
  assert shapes['embedding'] == (2, 192)
  plain = models.taps(
    models.create('deit_tiny', classes=7), _shape(2, 224, 224, 3)
  )
  assert 'class_logits' not in plain
  assert plain['block12/query'] == (2, 197, 192)


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize(
  'name',
  [
    'resnet18',
    'resnet50',
    'mobilenetv1',
    'googlenet',
    'convnext_tiny',
    'deit_tiny_distilled',
  ],
)
def test_bfloat16_computes_only(name, train):
  model = models.create(name, classes=3, dtype=jnp.bfloat16)
  batch = _shape(2, 32, 32, 3)
  variables = jax.eval_shape(model.init, jax.random.key(0), batch)
  outputs, state = jax.eval_shape(
    lambda variables, batch: model.apply(variables, batch, train=train),
    variables,
    batch,
  )
  for leaf in jax.tree.leaves((variables, state)):
    assert leaf.dtype == jnp.float32
  for tap, value in outputs.items():
    if tap.endswith(('logits', 'scores')):
      assert value.dtype == jnp.float32, tap
    elif not re.search(r'norm(/\d)?$', tap):  # Norms work in float32.
      assert value.dtype == jnp.bfloat16, tap


def _drawn(model, shape):
  """Images and variables whose norms are no identity, and the latter by path.

  Drawn by NumPy, which compiles nothing.
  """
  rng = np.random.default_rng(0)
  images = rng.normal(size=shape).astype(np.float32)

  def draw(path, leaf):
    name = path[-1].key
    if name in ('scale', 'var', 'layer_scale'):
      value = rng.uniform(0.5, 1.5, leaf.shape)
    elif name in ('kernel',):
      fan_in = np.prod(leaf.shape[:-1])
      value = rng.normal(size=leaf.shape) / np.sqrt(fan_in)
    else:
      value = 0.3 * rng.normal(size=leaf.shape)
    return jnp.asarray(value, jnp.float32)

  variables = jax.tree_util.tree_map_with_path(
    draw, jax.eval_shape(model.init, jax.random.key(0), _shape(*shape))
  )
  leaves = flatten_dict(variables.params, sep='/')
  leaves |= flatten_dict(variables.state.get('batch_stats', {}), sep='/')
  return images, variables, leaves


def _agrees(model, forward, shape):
  """Compares all taps of a PyTorch network, which are `[batch, c, h, w]`."""
  torch = pytest.importorskip('torch')
  images, variables, leaves = _drawn(model, shape)
  leaves = {
    path: torch.from_numpy(np.asarray(leaf, np.float64))
    for path, leaf in leaves.items()
  }
  given = torch.from_numpy(np.float64(images.transpose(0, 3, 1, 2)))
  expected = forward(leaves, given)
  found = jax.jit(
    lambda variables, images: {
      name: value
      for name, value in model.apply(variables, {'image': images})[0].items()
      if name in expected
    }
  )(variables, images)
  assert set(found) == set(expected)
  for name, value in expected.items():
    value = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
    np.testing.assert_allclose(
      found[name], value.numpy(), rtol=1e-4, atol=1e-4, err_msg=name
    )


# Run by `pytest -m thorough`, as CI does: compiling takes seconds.
@pytest.mark.thorough
@pytest.mark.parametrize('depth', [18, 50])
def test_resnets_agree_with_pytorch(depth):
  reference = pytest.importorskip('references.imagenet')
  model = models.create(f'resnet{depth}', classes=5)
  forward = functools.partial(reference.resnet, depth=depth)
  _agrees(model, forward, (2, 45, 64, 3))


@pytest.mark.thorough
@pytest.mark.parametrize(
  ('name', 'forward'),
  [('mobilenetv1', 'mobilenet_v1'), ('googlenet', 'googlenet')],
)
def test_other_networks_agree_with_pytorch(name, forward):
  reference = pytest.importorskip('references.imagenet')
  model = models.create(name, classes=5)
  _agrees(model, getattr(reference, forward), (2, 45, 64, 3))


def test_convnext_agrees_with_pytorch():
  reference = pytest.importorskip('references.imagenet')
  blocks = (1, 2, 1)
  model = models.from_linen(ConvNeXt(blocks, (8, 12, 16), 5))
  forward = functools.partial(reference.convnext, blocks=blocks)
  _agrees(model, forward, (2, 37, 48, 3))


def test_deit_agrees_with_pytorch():
  reference = pytest.importorskip('references.imagenet')
  settings = {'depth': 4, 'heads': 2, 'patch': 4}
  model = models.from_linen(
    models.ViT(width=16, classes=5, distillation_token=True, **settings)
  )
  forward = functools.partial(reference.deit, **settings)
  _agrees(model, forward, (2, 8, 12, 3))


def test_the_mean_of_both_heads_is_the_answer_in_training_too():
  model = models.from_linen(
    models.ViT(1, 4, 1, 3, patch=4, distillation_token=True)
  )
  images, variables, _ = _drawn(model, (2, 8, 8, 1))
  apply = jax.jit(model.apply, static_argnames='train')
  for train in (False, True):
    outputs, _ = apply(variables, {'image': images}, train=train)
    heads = outputs['class_logits'], outputs['distillation_logits']
    assert np.abs(heads[0] - heads[1]).max() > 0.1
    np.testing.assert_allclose(
      outputs['logits'], np.mean(heads, axis=0), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize('side', [2, 3])
@pytest.mark.parametrize('size', [(1, 2), (3, 4), (5, 6)])
def test_windows_over_the_far_edge(size, side):
  x = np.random.default_rng(0).normal(size=(1, *size, 2)).astype(np.float32)
  rows, columns = (max(1, -(-(n - side) // 2) + 1) for n in size)
  expected = np.empty((1, rows, columns, 2), np.float32)
  for i in range(rows):
    for j in range(columns):
      window = x[:, 2 * i : 2 * i + side, 2 * j : 2 * j + side]
      expected[:, i, j] = window.max((1, 2))
  np.testing.assert_array_equal(halved(x, side), expected)


def test_stochastic_depth_drops_whole_examples():
  x = np.random.default_rng(0).normal(size=(64, 2, 2, 3)).astype(np.float32)
  block = ConvNeXtBlock(layer_scale=1.0, drop=0.25)
  variables = block.init(jax.random.key(0), x)
  branch = block.apply(variables, x) - x
  rngs = {'dropout': jax.random.key(1)}
  found = block.apply(variables, x, train=True, rngs=rngs) - x
  kept = np.abs(found).max((1, 2, 3)) > 0
  assert 0.55 < kept.mean() < 0.95
  np.testing.assert_allclose(
    found,
    np.where(kept[:, None, None, None], branch / 0.75, 0),
    rtol=1e-4,
    atol=1e-5,
  )


def test_stochastic_depth_grows_from_the_first_block_to_the_last():
  model = ConvNeXt((1, 2, 2), (4, 4, 4), 3, stochastic_depth=0.2)
  drops = model._drops()
  assert [len(x) for x in drops] == [1, 2, 2]
  np.testing.assert_allclose(sum(drops, ()), [0, 0.05, 0.1, 0.15, 0.2])


def test_googlenet_draws_its_dropout_in_training_only():
  images = _shape(2, 32, 32, 1)['image']
  model = models.from_linen(GoogLeNet(3, dropout=0.2))
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': images})

  def traced(train):
    return jax.eval_shape(
      lambda variables, images: model.apply(
        variables, {'image': images}, train=train
      )[0]['logits'],
      variables,
      images,
    )

  assert traced(train=False).shape == (2, 3)
  with pytest.raises(errors.InvalidRngError, match='dropout'):
    traced(train=True)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: ImageNetResNet(20, 10), '18, 34, 50, 101, 152, got 20'),
    (lambda: GoogLeNet(10, dropout=1.0), r'dropout .* \[0, 1\), got 1.0'),
    (
      lambda: ConvNeXt((1,), (4,), 10, stochastic_depth=-0.1),
      r'stochastic_depth must be in \[0, 1\), got -0.1',
    ),
    (lambda: ConvNeXt((1, 1), (4,), 10), r'blocks .* got \(1, 1\)'),
  ],
)
def test_bad_attributes(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_images_too_small_for_convnext():
  model = models.create('convnext_tiny', classes=10)
  with pytest.raises(ValueError, match='at least 32x32, got 28x28'):
    models.taps(model, _shape(2, 28, 28, 3))
