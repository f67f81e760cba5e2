"""All shipped networks keep the contract of taps in docs/models.md."""

import math
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from kdjax import models

_DOCS = pathlib.Path(__file__).parents[3] / 'docs' / 'models.md'
_ROW = re.compile(r'^\| `(\w+)` \| (\d+) \| (\d+) \| ([\d,]+) \|', re.MULTILINE)
# Name -> side of the images, classes, parameters.
_ROWS = {
  name: tuple(int(number.replace(',', '')) for number in numbers)
  for name, *numbers in _ROW.findall(_DOCS.read_text('utf-8'))
}
_TRANSFORMERS = ('vit', 'deit')
_WITHOUT_STEM = ('mlp', 'cnn', *_TRANSFORMERS)


def _traced(name):
  """Shapes of a network's parameters and of its outputs, for two images."""
  size, classes, _ = _ROWS[name]
  model = models.create(name, classes=classes)
  batch = {'image': jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)}

  def forward(batch):
    variables = model.init(jax.random.key(0), batch)
    return variables.params, model.apply(variables, batch)[0]

  return jax.eval_shape(forward, batch)


def _stages(outputs):
  names = [x for x in outputs if re.fullmatch(r'stage\d+', x)]
  return sorted(names, key=lambda name: int(name.removeprefix('stage')))


def test_the_table_has_a_row_for_every_network_in_their_order():
  assert tuple(_ROWS) == models.names()


@pytest.mark.parametrize('name', _ROWS)
def test_contract(name):
  # One test, since tracing takes longer than all checks.
  params, outputs = _traced(name)
  count = sum(math.prod(x.shape) for x in jax.tree.leaves(params))
  assert count == _ROWS[name][2]
  _check_answer(params, outputs, _ROWS[name][1])
  stages = _stages(outputs)
  _check_stages(outputs, stages, rank=2 if name.startswith('mlp') else 4)
  assert ('stem' in outputs) != name.startswith(_WITHOUT_STEM)
  if name.startswith(_TRANSFORMERS):
    assert not any(tap.endswith('/preactivation') for tap in outputs)
    assert len(outputs['block1'].shape) == 3
    return
  for tap in stages + ['stem'] * ('stem' in outputs):
    assert outputs[f'{tap}/preactivation'].shape == outputs[tap].shape
  if not name.startswith('mlp'):
    inner = 'layer' if name.startswith(('cnn', 'vgg')) else 'block'
    for stage in stages:
      _check_blocks(outputs, stage, inner)


def _check_answer(params, outputs, classes):
  assert outputs['logits'].shape == (2, classes)
  assert outputs['logits'].dtype == jnp.float32
  batch, channels = outputs['embedding'].shape
  assert batch == 2
  assert params['head']['kernel'].shape == (channels, classes)


def _check_stages(outputs, stages, rank):
  assert stages
  assert stages == [f'stage{i + 1}' for i in range(len(stages))]
  shapes = [outputs[stage].shape for stage in stages]
  assert {len(shape) for shape in shapes} == {rank}
  # Stages are named from the image down.
  sides = [shape[1:-1] for shape in shapes]
  assert sides == sorted(sides, reverse=True)


def _check_blocks(outputs, stage, inner):
  matches = [re.fullmatch(rf'{stage}/{inner}(\d+)', tap) for tap in outputs]
  numbers = sorted(int(match[1]) for match in matches if match)
  assert numbers == [i + 1 for i in range(len(numbers))]
  last = outputs[f'{stage}/{inner}{len(numbers)}']
  assert last.shape == outputs[stage].shape
