"""One train step under every device idiom: one device's update."""

import functools

import idioms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from kdjax import models, tasks, training, transforms

_BATCH, _CLASSES = 16, 4


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


_STUDENT = {'hidden': _normal(0, 6, 5), 'head': _normal(1, 5, _CLASSES)}
_TEACHER = {'hidden': _normal(2, 6, 7), 'head': _normal(3, 7, _CLASSES)}
_OPTIMIZER = optax.chain(
  optax.clip_by_global_norm(0.5), optax.sgd(0.3, momentum=0.9)
)


def _network(params, image):
  highest = jax.lax.Precision.HIGHEST
  embedding = jnp.tanh(jnp.matmul(image, params['hidden'], precision=highest))
  logits = jnp.matmul(embedding, params['head'], precision=highest)
  return {'logits': logits, 'embedding': embedding}


def _coupled_by_hand():
  """A user's transform, which does not say that it couples the examples."""

  def apply(variables, student, teacher, batch, step):
    del teacher, step
    x = student['embedding']
    spread = jnp.mean(jnp.square(x - jnp.mean(x, axis=0, keepdims=True)))
    return (
      jnp.square(spread),
      variables.state,
      {'examples': jnp.float32(len(x))},
    )

  return transforms.LossTransform(lambda *_: transforms.LossVariables(), apply)


_LOSSES = {
  'labels': {},
  'no labels': {'task': (0.0, transforms.stateless(lambda *_: jnp.zeros(())))},
  'soft': {'soft': (0.9, transforms.soft_targets())},
  'distance': {'distance': (25.0, transforms.relational_distance())},
  'a hint with batch norm': {
    'hint': (
      1.0,
      transforms.hint(
        student='embedding', teacher='embedding', batch_norm=True
      ),
    )
  },
  'a transform of a user': {'own': (1.0, _coupled_by_hand())},
}


def _parts(name, terms=None):
  terms = {'task': (1.0, transforms.labels())} | (terms or _LOSSES[name])
  student = models.from_function(_network, _STUDENT)
  teacher = models.from_function(_network, _TEACHER)
  loss = transforms.weighted_sum(**terms)
  shapes = {'image': jax.ShapeDtypeStruct((_BATCH, 6), jnp.float32)}
  outputs = jax.eval_shape(_network, _TEACHER, shapes['image'])
  state = training.init_state(1, student, loss, _OPTIMIZER, shapes, outputs)
  batch = {
    'image': _normal(4, _BATCH, 6),
    'label': np.arange(_BATCH, dtype=np.int32) % _CLASSES,
    'weight': np.ones(_BATCH, np.float32),
  }
  measures = {'accuracy': tasks.correct}
  if name == 'no labels':
    del batch['label']
    measures = {}
    loss = transforms.weighted_sum(
      soft=(0.9, transforms.soft_targets()), **_LOSSES[name]
    )
    state = training.init_state(1, student, loss, _OPTIMIZER, shapes, outputs)

  def step(axis_name):
    made = training.make_train_step(
      student,
      loss,
      _OPTIMIZER,
      teacher=teacher,
      axis_name=axis_name,
      measures=measures,
    )
    variables = models.ModelVariables(_TEACHER, {})
    return lambda state, batch: made(state, variables, batch)

  return step, state, batch


def _pmap(step, state, batch):
  shards = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch)
  return jax.pmap(
    step('batch'), axis_name='batch', in_axes=(None, 0), out_axes=None
  )(state, shards)


def _shard_map(step, state, batch, *, check_vma):
  mesh = jax.make_mesh((8,), ('batch',), axis_types=(AxisType.Auto,))
  mapped = jax.shard_map(
    step('batch'),
    mesh=mesh,
    in_specs=(P(), P('batch')),
    out_specs=P(),
    check_vma=check_vma,
  )
  return jax.jit(mapped)(state, batch)


def _mesh(step, state, batch, *, kind):
  mesh = jax.make_mesh((8,), ('batch',), axis_types=(kind,))

  def placed(tree, spec):
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda x: jax.device_put(x, sharding), tree)

  with jax.set_mesh(mesh):
    return jax.jit(step(None))(placed(state, P()), placed(batch, P('batch')))


_IDIOMS = {
  'pmap': _pmap,
  'shard_map': functools.partial(_shard_map, check_vma=True),
  'shard_map, check_vma=False': functools.partial(_shard_map, check_vma=False),
  'jit, automatic mesh': functools.partial(_mesh, kind=AxisType.Auto),
  'jit, explicit mesh': functools.partial(_mesh, kind=AxisType.Explicit),
}
assert _IDIOMS.keys() == idioms.IDIOMS.keys()


@functools.cache
def _expected(name):
  step, state, batch = _parts(name)
  return jax.device_get(jax.jit(step(None))(state, batch))


@pytest.mark.parametrize('idiom', _IDIOMS)
@pytest.mark.parametrize('name', _LOSSES)
def test_update_and_metrics_are_those_of_one_device(name, idiom):
  state, metrics = _IDIOMS[idiom](*_parts(name))
  right, numbers = _expected(name)
  for actual, expected in zip(
    jax.tree.leaves((state.model, state.loss, state.opt_state)),
    jax.tree.leaves((right.model, right.loss, right.opt_state)),
    strict=True,
  ):
    np.testing.assert_allclose(
      jnp.asarray(actual), expected, rtol=1e-4, atol=1e-5
    )
  assert metrics.keys() == numbers.keys()
  for key, expected in numbers.items():
    np.testing.assert_allclose(metrics[key], expected, rtol=1e-4, atol=1e-6)
  moved = np.abs(right.model.params['hidden'] - _STUDENT['hidden']).max()
  assert moved > 1e-3


@pytest.mark.parametrize('idiom', ['pmap', 'shard_map'])
def test_a_term_that_is_gathered_already_is_not_gathered_again(idiom):
  gathered = transforms.across_devices(transforms.relational_distance())
  parts = _parts('distance', {'distance': (25.0, gathered)})
  state, metrics = _IDIOMS[idiom](*parts)
  right, numbers = _expected('distance')
  np.testing.assert_allclose(
    metrics['distance'], numbers['distance'], rtol=1e-5
  )
  np.testing.assert_allclose(
    state.model.params['hidden'], right.model.params['hidden'], rtol=1e-4
  )
