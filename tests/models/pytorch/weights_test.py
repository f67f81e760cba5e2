"""Networks of the zoo from PyTorch's names and layouts, and back."""

import hashlib
import os
import pathlib
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models, recipes, tasks
from kdjax.models.pytorch import files

_BATCH = {'image': jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)}


def _network(name, classes=10, seed=0):
  """A network whose every array is random, statistics included."""
  model = models.create(name, classes=classes)
  shapes = jax.eval_shape(model.init, jax.random.key(0), _BATCH)
  generator = np.random.default_rng(seed)
  variables = jax.tree.map(
    lambda x: jnp.asarray(generator.uniform(0.5, 1.5, x.shape), x.dtype), shapes
  )
  return models.Network(model, variables)


# Smaller networks of the same families are tested.
_LARGE = r'resnet(34|50|101|152)|deit_(small|base)\w*|vgg1\d'


@pytest.mark.parametrize(
  'name', [name for name in models.names() if not re.fullmatch(_LARGE, name)]
)
def test_every_network_comes_back_to_the_bit(name, tmp_path):
  network, path = _network(name), tmp_path / 'network.safetensors'
  models.save_torch(path, network)
  found = models.load_torch(path, network.model, _BATCH)
  chex.assert_trees_all_equal(found.variables, network.variables)


def test_writes_the_names_and_layouts_of_the_library(tmp_path):
  network, path = _network('resnet8b'), tmp_path / 'network.safetensors'
  models.save_torch(path, network)
  found = files.read(path)
  params, stats = network.variables.params, network.variables.state
  block = params['stage2']['block1']
  np.testing.assert_array_equal(  # [out, in, height, width]
    found['layer2.0.conv1.weight'],
    np.einsum('hwio->oihw', block['layer1']['conv']['kernel']),
  )
  np.testing.assert_array_equal(
    found['layer2.0.downsample.0.weight'][:, :, 0, 0],
    block['shortcut']['conv']['kernel'][0, 0].T,
  )
  np.testing.assert_array_equal(
    found['layer2.0.bn2.weight'], block['layer2']['norm']['scale']
  )
  np.testing.assert_array_equal(
    found['bn1.running_var'],
    stats['batch_stats']['stem']['layer1']['norm']['var'],
  )
  np.testing.assert_array_equal(found['fc.weight'], params['head']['kernel'].T)
  # 6n + 2 layers with n = 1: 7 convolutions, 2 shortcuts, 9 norms of 4.
  assert len(found) == 7 + 2 + 9 * 4 + 2


@pytest.mark.parametrize('library', ['pytorch_resnet_cifar10', 'kdjax'])
def test_reads_the_names_of_other_libraries(library, tmp_path):
  network, path = _network('resnet8b'), tmp_path / 'network.safetensors'
  models.save_torch(path, network, library=library)
  name = {'kdjax': 'head.weight', 'pytorch_resnet_cifar10': 'linear.weight'}
  assert name[library] in files.read(path)
  found = models.load_torch(path, network.model)
  chex.assert_trees_all_equal(found.variables, network.variables)


# The first digits of the SHA-256 of all names and shapes, a line each, that the
# networks of torchvision 0.28, timm 1.0.31 and RepDistiller have, of 1000
# classes.
_NAMES = {
  ('resnet20', 'pytorch_resnet_cifar10'): 'b913f9a90294ab5d',
  ('resnet18', 'torchvision'): 'fc669aac650ab66f',
  ('resnet50', 'torchvision'): '584ee931ad382885',
  ('mobilenetv2', 'torchvision'): '07c1a8796c1aa659',
  ('googlenet', 'torchvision'): 'fa3d44cfc0caf557',
  ('convnext_tiny', 'torchvision'): '76e6adcc617daa3f',
  ('resnet50', 'timm'): '584ee931ad382885',
  ('mobilenetv2', 'timm'): 'fb193ed441ef69d9',
  ('convnext_tiny', 'timm'): '6a2556c605ee9b4f',
  ('deit_tiny', 'timm'): 'f67d4b872e4c717d',
  ('deit_tiny_distilled', 'timm'): '9a8825a605d6b698',
  ('wrn40_2', 'RepDistiller'): 'abd2dbf1d312b01f',
  ('vgg13', 'RepDistiller'): '8f8dc282007a227e',
}


@pytest.mark.parametrize(('name', 'library'), _NAMES)
def test_names_and_shapes_are_those_of_the_library(name, library, tmp_path):
  model = models.create(name, classes=1000)
  batch = {'image': jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)}
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
  zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  path = tmp_path / 'network.safetensors'
  models.save_torch(path, models.Network(model, zeros), library=library)
  lines = [f'{k} {list(x.shape)}' for k, x in files.read(path).items()]
  found = hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest()
  assert found[:16] == _NAMES[name, library]


def test_refuses_an_unknown_library(tmp_path):
  with pytest.raises(
    models.WeightsError, match=r"torchvision, .*kdjax for resnet8, got 'timm'"
  ):
    models.save_torch(
      tmp_path / 'x.safetensors', _network('resnet8'), library='timm'
    )


def test_lists_all_that_does_not_fit(tmp_path):
  path = tmp_path / 'network.safetensors'
  models.save_torch(path, _network('resnet8'))
  tensors = files.read(path)
  for name in ('bn1.bias', 'linear.weight'):
    del tensors[name]
  tensors |= {'linear.bias': np.zeros(7), 'optimizer': np.zeros(3)}
  files.write(path, tensors, {})
  with pytest.raises(models.WeightsError) as error:
    models.load_torch(path, models.create('resnet8', classes=10))
  assert str(error.value) == (
    f'{str(path)!r} holds another network than resnet8: it lacks bn1.bias, '
    'linear.weight; it also has optimizer; it has with another shape '
    'linear.bias [7] in place of [10].'
  )


def test_loads_half_precision_as_float32(tmp_path):
  network, path = _network('mlp_student'), tmp_path / 'network.safetensors'
  models.save_torch(path, network)
  half = {name: np.float16(x) for name, x in files.read(path).items()}
  files.write(path, half, {})
  found = models.load_torch(path, network.model, _BATCH)
  for leaf in jax.tree.leaves(found.variables):
    assert leaf.dtype == np.float32
  chex.assert_trees_all_close(found.variables, network.variables, rtol=1e-3)


_WEIGHTS = pathlib.Path(os.environ.get('TFDS_DATA_DIR', ''), '..', 'weights')


# How many of the first 1,000 test images the published weights get right in
# PyTorch 2.13, with the network of `references.torch_resnet`.
@pytest.mark.skipif(
  not (_WEIGHTS / 'resnet20_cifar10.safetensors').exists(),
  reason='weights/ is not beside TFDS_DATA_DIR',
)
@pytest.mark.parametrize(
  ('depth', 'right'),
  [
    (20, 920),
    pytest.param(32, 930, marks=pytest.mark.thorough),
    pytest.param(44, 939, marks=pytest.mark.thorough),
    (56, 933),
  ],
)
def test_published_weights_answer_as_in_pytorch(depth, right):
  _, task = tasks.load(tasks.Options(dataset='cifar10'))
  task = task._replace(test=task.test.take(np.arange(1000)))
  model = models.create(f'resnet{depth}', classes=10)
  model = models.normalised(model, *models.IMAGENET)
  path = _WEIGHTS / f'resnet{depth}_cifar10.safetensors'
  network = models.load_torch(path, model)
  found = recipes.evaluate_one(network, task)
  assert round(found['accuracy'] * 1000) == right
