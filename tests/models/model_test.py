import jax
import jax.numpy as jnp
import pytest

from kdjax import models


def _two_stages(params, inputs):
  hidden = inputs.mean((1, 2)) @ params
  return {'logits': hidden, 'stage1': inputs, 'embedding': hidden}


def test_taps_gives_shapes_without_computing():
  model = models.from_function(_two_stages, jnp.ones((3, 7)))
  # A terabyte of inputs can only be asked about, not computed with.
  shapes = models.taps(
    model, {'image': jax.ShapeDtypeStruct((2**20, 512, 512, 3), jnp.float32)}
  )
  assert shapes == {
    'logits': (2**20, 7),
    'stage1': (2**20, 512, 512, 3),
    'embedding': (2**20, 7),
  }


@pytest.mark.parametrize(
  ('count', 'middle'), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (11, 6)]
)
def test_middle_stage_is_the_upper_half(count, middle):
  names = [f'stage{i}' for i in range(count, 0, -1)]
  names += ['logits', 'stem', 'stage1/block1', 'stage3/preactivation']
  assert models.middle_stage(names) == f'stage{middle}'


def test_middle_stage_takes_outputs():
  model = models.from_function(_two_stages, jnp.ones((3, 7)))
  inputs = jnp.ones((2, 4, 4, 3))
  variables = model.init(jax.random.key(0), {'image': inputs})
  outputs, _ = model.apply(variables, {'image': inputs})
  assert models.middle_stage(outputs) == 'stage1'


def test_middle_stage_without_stages():
  with pytest.raises(ValueError, match=r"names must hold .* got \['logits'\]"):
    models.middle_stage(['logits'])


def test_network_must_return_an_array_or_a_dict():
  model = models.from_function(lambda _, x: (x, x), {})
  inputs = jnp.ones((2, 3))
  variables = model.init(jax.random.key(0), {'image': inputs})
  with pytest.raises(ValueError, match='a dict of arrays, got tuple'):
    model.apply(variables, {'image': inputs})


def test_network_may_answer_without_logits():
  model = models.from_function(lambda _, x: {'prediction': 2 * x}, {})
  inputs = jnp.ones((2, 3))
  variables = model.init(jax.random.key(0), {'image': inputs})
  outputs, _ = model.apply(variables, {'image': inputs})
  assert list(outputs) == ['prediction']


def test_a_head_is_handed_out():
  params = {'head': jnp.ones((3, 5)), 'bias': jnp.zeros(5)}
  network = models.from_function(lambda p, x: {'hidden': x}, params)
  model = models.with_head(
    network, lambda p: p['head'], lambda p: p['bias'], soft_cap=30.0
  )
  inputs = jnp.ones((2, 3))
  batch = {'image': inputs}
  outputs, _ = model.apply(model.init(jax.random.key(0), batch), batch)
  assert outputs['head'].shape == (3, 5)
  assert outputs['head_bias'].shape == (5,)
  assert outputs['head_soft_cap'] == 30
