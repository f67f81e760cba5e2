"""Settings of the networks of CIFAR-100's tables, and bad ones."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax import errors
from flax import linen as nn

from kdjax import models
from kdjax.models.zoo.mobilenet_v2 import MobileNetV2
from kdjax.models.zoo.shufflenet import channel_shuffle
from kdjax.models.zoo.wide_resnet import WideResNet

_BATCH = {'image': jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)}


@pytest.mark.parametrize(
  'name',
  [
    *('resnet8x4', 'wrn16_1', 'vgg8'),
    *('mobilenetv2', 'shufflenetv1', 'shufflenetv2'),
  ],
)
def test_every_norm_averages_over_the_axis(name):
  axes = set()

  def note(call, arguments, keywords, context):
    if isinstance(context.module, nn.BatchNorm):
      axes.add(context.module.axis_name)
    return call(*arguments, **keywords)

  model = models.create(name, classes=10, axis_name='batch')
  with nn.intercept_methods(note):
    jax.eval_shape(model.init, jax.random.key(0), _BATCH)
  assert axes == {'batch'}


def test_mobilenetv2_drops_in_training_only():
  model = models.create('mobilenetv2', classes=10)
  variables = jax.eval_shape(model.init, jax.random.key(0), _BATCH)
  train = functools.partial(model.apply, train=True)
  with pytest.raises(errors.InvalidRngError, match='dropout'):
    jax.eval_shape(train, variables, _BATCH)
  key = jax.random.key(1)
  outputs, _ = jax.eval_shape(
    functools.partial(train, key=key), variables, _BATCH
  )
  assert outputs['dropout'].shape == (2, 1280)


def test_channel_shuffle_by_hand():
  x = jnp.arange(6).reshape(1, 1, 1, 6)
  assert channel_shuffle(x, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
  assert channel_shuffle(x, 3).ravel().tolist() == [0, 2, 4, 1, 3, 5]
  assert channel_shuffle(x, 1).ravel().tolist() == [0, 1, 2, 3, 4, 5]


# Channels and side of `stem`, `stage1`, ... in images of 32 pixels, as
# RepDistiller's features.
_FEATURES = {
  'resnet8x4': ((32, 32), (64, 32), (128, 16), (256, 8)),
  'resnet50_small': ((64, 32), (256, 32), (512, 16), (1024, 8), (2048, 4)),
  'wrn40_2': ((16, 32), (32, 32), (64, 16), (128, 8)),
  'vgg13': ((64, 32), (128, 16), (256, 8), (512, 4), (512, 4)),
  'mobilenetv2_half': ((16, 16), (12, 16), (16, 8), (48, 4), (160, 2)),
  'shufflenetv1': ((24, 32), (240, 16), (480, 8), (960, 4)),
  'shufflenetv2': ((24, 32), (116, 16), (232, 8), (464, 4)),
}


@pytest.mark.parametrize('name', _FEATURES)
def test_stages_are_the_published_features(name):
  shapes = models.taps(models.create(name, classes=100), _BATCH)
  stem, *stages = _FEATURES[name]
  assert shapes['stem'] == (2, stem[1], stem[1], stem[0])
  for i, (channels, side) in enumerate(stages, start=1):
    assert shapes[f'stage{i}'] == (2, side, side, channels)
  assert f'stage{len(stages) + 1}' not in shapes


@pytest.mark.parametrize(
  ('multiplier', 'divisor', 'widths'),
  [
    # torchvision's `mobilenet_v2(width_mult=...)`, its `_make_divisible`.
    (0.75, 8, {16: 16, 24: 24, 32: 24, 64: 48, 96: 72, 160: 120, 320: 240}),
    (0.35, 8, {16: 8, 24: 8, 32: 16, 64: 24, 96: 32, 160: 56, 320: 112}),
    (0.5, 1, {16: 8, 24: 12, 32: 16, 64: 32, 96: 48, 160: 80, 320: 160}),
  ],
)
def test_widths_of_mobilenetv2(multiplier, divisor, widths):
  network = MobileNetV2(10, multiplier=multiplier, divisor=divisor)
  assert {width: network._width(width) for width in widths} == widths


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: WideResNet(17, 1, 10), r'depth must be 6n \+ 4 .* got 17'),
    (lambda: WideResNet(4, 1, 10), r'depth must be 6n \+ 4 .* got 4'),
    (lambda: WideResNet(16, 0, 10), 'widen must be positive, got 0'),
    (lambda: MobileNetV2(10, multiplier=0), 'multiplier must be pos.* got 0'),
    (lambda: MobileNetV2(10, divisor=0), 'divisor must be positive, got 0'),
    (lambda: MobileNetV2(10, dropout=1.0), r'dropout must be in .* got 1\.0'),
  ],
)
def test_bad_settings(make, message):
  with pytest.raises(ValueError, match=message):
    make()
