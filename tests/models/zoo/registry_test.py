import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models


def _shapes(name, classes, shape):
  batch = {'image': jax.ShapeDtypeStruct(shape, jnp.float32)}
  return models.taps(models.create(name, classes=classes), batch)


def _count(model, shape=(1, 32, 32, 3)):
  inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})
  return sum(math.prod(p.shape) for p in jax.tree.leaves(variables.params))


def _resnet_count(depth, classes):
  """Every convolution has 9 * in * out weights and a norm 2 * out."""
  n = (depth - 2) // 6
  layers = [(3, 16)] + 2 * n * [(16, 16)]
  layers += [(16, 32)] + (2 * n - 1) * [(32, 32)]
  layers += [(32, 64)] + (2 * n - 1) * [(64, 64)]
  assert len(layers) + 1 == depth
  convolutions = sum(9 * i * o + 2 * o for i, o in layers)
  return convolutions + 64 * classes + classes


@pytest.mark.parametrize('depth', [8, 14, 20, 32, 44, 56, 110])
def test_resnets_have_the_layers_of_their_name(depth):
  model = models.create(f'resnet{depth}', classes=100)
  assert _count(model) == _resnet_count(depth, 100)


@pytest.mark.parametrize(
  ('depth', 'published'), [(20, 269_722), (56, 853_018), (110, 1_727_962)]
)
def test_published_counts(depth, published):
  assert _count(models.create(f'resnet{depth}', classes=10)) == published


def test_published_count_with_projections():
  module = models.ResNet(20, classes=100, projection=True)
  assert _count(models.from_linen(module)) == 278_324


@pytest.mark.parametrize(
  ('name', 'count'),
  [
    # 3072 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10
    ('mlp_teacher', 1_841_162),
    # 3072 * 16 + 16 + 16 * 10 + 10
    ('mlp_student', 49_338),
    # 9 * (3 * 64 + 64**2 + 64 * 128 + 128**2 + 128 * 256 + 256**2)
    # + 4 * (64 + 128 + 256) + 256 * 10 + 10
    ('cnn_teacher', 1_148_874),
    # 9 * (3 * 16 + 16 * 48 + 48 * 96) + 2 * (16 + 48 + 96) + 96 * 10 + 10
    ('cnn_student', 50_106),
  ],
)
def test_other_counts(name, count):
  assert _count(models.create(name, classes=10)) == count


_STAGES = {
  'mlp_teacher': {'stage1': (512,), 'stage2': (512,), 'embedding': (512,)},
  'mlp_student': {'stage1': (16,), 'embedding': (16,)},
  'cnn_teacher': {
    'stage1': (8, 8, 64),
    'stage2': (4, 4, 128),
    'stage3': (2, 2, 256),
    'embedding': (256,),
  },
  'cnn_student': {
    'stage1': (8, 8, 16),
    'stage2': (4, 4, 48),
    'stage3': (2, 2, 96),
    'embedding': (96,),
  },
  'resnet8': {
    'stem': (8, 8, 16),
    'stage1': (8, 8, 16),
    'stage2': (4, 4, 32),
    'stage3': (2, 2, 64),
    'embedding': (64,),
  },
}


@pytest.mark.parametrize('name', _STAGES)
def test_stages_on_digits(name):
  shapes = _shapes(name, 7, (5, 8, 8, 1))
  assert shapes['logits'] == (5, 7)
  for tap, shape in _STAGES[name].items():
    assert shapes[tap] == (5, *shape)
    if tap.startswith('stage'):
      assert shapes[f'{tap}/preactivation'] == (5, *shape)


def test_deepest_taps():
  shapes = _shapes('resnet110', 10, (2, 32, 32, 3))
  assert shapes['stage3/block18'] == (2, 8, 8, 64)
  assert 'stage3/block19' not in shapes
  assert models.middle_stage(shapes) == 'stage2'


_PLAIN = ('mlp_student', 'cnn_student', 'resnet8')


@pytest.mark.parametrize(
  ('name', 'train'),
  [
    *itertools.product(_PLAIN, (False, True)),
    *[('wrn16_1', True), ('vgg8', True), ('mobilenetv2_half', True)],
    *[('shufflenetv1', True), ('shufflenetv2', True)],
  ],
)
def test_bfloat16_computes_only(name, train):
  model = models.create(name, classes=3, dtype=jnp.bfloat16)
  inputs = jnp.ones((4, 8, 8, 1))
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': inputs})
  outputs, state = jax.eval_shape(
    lambda variables: model.apply(variables, {'image': inputs}, train=train),
    variables,
  )
  for leaf in jax.tree.leaves((variables, state)):
    assert leaf.dtype == jnp.float32
  for tap, value in outputs.items():
    # Norms work in float32 and their callers round.
    exact = tap == 'logits' or re.search(r'/norm\d*$', tap)
    assert value.dtype == (jnp.float32 if exact else jnp.bfloat16)


def test_bfloat16_is_close_to_float32():
  generator = np.random.default_rng(0)
  inputs = jnp.asarray(generator.normal(size=(4, 8, 8, 1)), jnp.float32)
  settings = {'widths': (4, 8), 'convolutions': (1, 1), 'classes': 3}
  exact = models.from_linen(models.ConvNet(**settings))
  rough = models.from_linen(models.ConvNet(**settings, dtype=jnp.bfloat16))
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(
      0.2 * generator.normal(size=leaf.shape), leaf.dtype
    ),
    jax.eval_shape(exact.init, jax.random.key(0), {'image': inputs}),
  )
  logits = [
    jax.jit(model.apply, static_argnames='train')(
      variables, {'image': inputs}, train=True
    )[0]['logits']
    for model in (exact, rough)
  ]
  assert 0.0 < np.abs(logits[0] - logits[1]).max() < 0.05


def test_names():
  names = ('mlp_teacher', 'mlp_assistant', 'mlp_student')
  assert models.names()[:3] == names


def test_unknown_name():
  with pytest.raises(
    ValueError, match=r"one of mlp_teacher, .* got 'resnet21'"
  ):
    models.create('resnet21', classes=10)


def test_no_classes():
  with pytest.raises(ValueError, match='classes must be positive, got 0'):
    models.create('resnet20', classes=0)


@pytest.mark.parametrize('depth', [2, 18, 21])
def test_depth_is_6n_plus_2(depth):
  with pytest.raises(ValueError, match=f'6n \\+ 2 .* got {depth}'):
    models.ResNet(depth, classes=10)
