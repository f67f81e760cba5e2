"""The networks of CIFAR-100's tables against PyTorch, with equal weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

pytest.importorskip(
  'torch', reason='PyTorch, which the networks are compared with, is absent.'
)

import torch
from references import small_networks

from kdjax import models
from kdjax.models import ModelVariables

_COUNTS = {
  'resnet8b': 83_892,
  'resnet14b': 181_108,
  'resnet20b': 278_324,
  'resnet32b': 472_756,
  'resnet44b': 667_188,
  'resnet56b': 861_620,
  'resnet110b': 1_736_564,
  'resnet8x4': 1_233_540,
  'resnet32x4': 7_433_860,
  'resnet50_small': 23_705_252,
  'wrn16_1': 180_916,
  'wrn16_2': 703_284,
  'wrn40_1': 569_780,
  'wrn40_2': 2_255_156,
  'vgg8': 3_965_028,
  'vgg11': 9_277_284,
  'vgg13': 9_462_180,
  'vgg16': 14_774_436,
  'vgg19': 20_086_692,
  'mobilenetv2_half': 812_836,
  'shufflenetv1': 949_258,
  'shufflenetv2': 1_355_528,
}


@pytest.mark.parametrize(
  ('name', 'classes', 'count'),
  [
    *((name, 100, count) for name, count in _COUNTS.items()),
    ('mobilenetv2', 1000, 3_504_872),  # torchvision's
  ],
)
def test_counts(name, classes, count):
  with torch.device('meta'):
    reference = small_networks.create(name, classes)
  assert sum(p.numel() for p in reference.parameters()) == count
  assert _count(models.create(name, classes=classes)) == count


def _count(model):
  batch = {'image': jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)}
  variables = jax.eval_shape(model.init, jax.random.key(0), batch)
  return sum(math.prod(p.shape) for p in jax.tree.leaves(variables.params))


_LEAVES = (nn.Conv, nn.BatchNorm, nn.Dense)
_TORCH_LEAVES = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)


def _paths(model, batch):
  """Paths of the layers, in the order in which they run."""
  paths = []

  def note(call, arguments, keywords, context):
    module = context.module
    if isinstance(module, _LEAVES) and context.method_name == '__call__':
      paths.append(module.path)
    return call(*arguments, **keywords)

  with nn.intercept_methods(note):
    jax.eval_shape(model.init, jax.random.key(0), batch)
  return paths


def _layers(network, images):
  """The layers in the order in which they run."""
  layers = []
  hooks = [
    layer.register_forward_hook(lambda layer, *_: layers.append(layer))
    for layer in network.modules()
    if isinstance(layer, _TORCH_LEAVES)
  ]
  with torch.no_grad():
    network(images)
  for hook in hooks:
    hook.remove()
  return layers


def _randomise(network):
  """Makes the norms no identities and the biases not zero."""
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for layer in network.modules():
      if isinstance(layer, torch.nn.BatchNorm2d):
        for value in (layer.weight, layer.running_var):
          value.uniform_(0.5, 1.5, generator=generator)
        for value in (layer.bias, layer.running_mean):
          value.uniform_(-0.3, 0.3, generator=generator)
      elif isinstance(layer, torch.nn.Conv2d):
        fan_in = layer.weight[0].numel()
        layer.weight.normal_(0, fan_in**-0.5, generator=generator)


def _copied(paths, layers):
  """Variables of the Linen network from the layers of the PyTorch one."""
  params, stats = {}, {}
  for path, layer in zip(paths, layers, strict=True):
    values = {n: p.detach().numpy() for n, p in layer.named_parameters()}
    if isinstance(layer, torch.nn.BatchNorm2d):
      leaf = {'scale': values['weight'], 'bias': values['bias']}
      _at(stats, path).update(
        mean=layer.running_mean.numpy(), var=layer.running_var.numpy()
      )
    else:
      kernel = values['weight']
      kernel = kernel.T if kernel.ndim == 2 else kernel.transpose(2, 3, 1, 0)
      leaf = values | {'kernel': kernel}
      leaf.pop('weight')
    _at(params, path).update(leaf)
  return ModelVariables(params, {'batch_stats': stats})


def _at(tree, path):
  for part in path:
    tree = tree.setdefault(part, {})
  return tree


@pytest.mark.parametrize(
  ('name', 'size'),
  [
    ('resnet8x4', 32),
    ('wrn16_2', 32),
    ('vgg8', 32),
    ('vgg8', 64),
    ('mobilenetv2_half', 32),
    ('mobilenetv2', 64),
    ('shufflenetv1', 32),
    ('shufflenetv2', 32),
  ],
)
def test_taps_are_those_of_pytorch(name, size):
  images = np.random.default_rng(0).normal(size=(2, size, size, 3))
  images = images.astype(np.float32)
  reference = small_networks.create(name, 10).eval()
  _randomise(reference)
  planes = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
  model, batch = models.create(name, classes=10), {'image': images}
  layers = _layers(reference, planes)
  variables = _copied(_paths(model, batch), layers)
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)
  with torch.no_grad():
    expected = reference(planes)
  outputs = jax.jit(lambda *x: _read(model.apply(*x)[0], expected))(
    variables, batch
  )
  for tap, value in expected.items():
    value = value.numpy()
    value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
    assert value.std() > 0.01, tap
    np.testing.assert_allclose(
      outputs[tap], value, rtol=1e-4, atol=1e-4, err_msg=tap
    )


def _read(outputs, names):
  return {name: outputs[name] for name in names}
