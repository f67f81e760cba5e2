"""Every loss that couples examples: one value on 1, 2 and 8 devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.transforms import (
  LossVariables,
  contrastive_representation,
  correlation_congruence,
  direction,
  dist,
  in_batch_contrastive,
  instance_relation_graph,
  kernel_correlation_congruence,
  linear_cka,
  on_axis,
  pearson_feature,
  probabilistic_transfer,
  rbf_cka,
  relational_angle,
  relational_distance,
  similarity_preserving,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_BATCH, _DIM, _HIDDEN, _CLASSES, _EXAMPLES = 16, 6, 5, 4, 24
_STEPS = 2
_LABELS = np.arange(_EXAMPLES) % _CLASSES
# Compiling is what takes the time here.
_COMPILE_FAST = {
  'xla_backend_optimization_level': 0,
  'xla_llvm_disable_expensive_passes': True,
}

_stages = {'student': 'stage', 'teacher': 'stage'}
_layers = ('stage', 'embedding')
COUPLING = {
  'dist': dist(),
  'direction': direction(tikhonov=1.0),
  'distance': relational_distance(),
  'angle': relational_angle(),
  'similarity': similarity_preserving(**_stages),
  'congruence': correlation_congruence(dim=3),
  'kernel': kernel_correlation_congruence(),
  'probabilistic': probabilistic_transfer(),
  # So few negatives that it does not score all examples in one product.
  'memory': contrastive_representation(
    examples=_EXAMPLES, labels=_LABELS, negatives=3, dim=3
  ),
  'in batch': in_batch_contrastive(teacher='stage'),
  'linear cka': linear_cka(),
  'rbf cka': rbf_cka(),
  # Of equal channels: the bias of a connector has no gradient to compare.
  'pearson': pearson_feature(student='embedding', teacher='embedding'),
  'graph': instance_relation_graph(
    student_layers=_layers, teacher_layers=_layers
  ),
}
TERMS = {name: on_axis(term, 'batch') for name, term in COUPLING.items()}
ALONE = {name: COUPLING[name] for name in ('similarity', 'memory')}


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _student(params, inputs):
  stage = inputs @ params['stage']
  embedding = stage @ params['embedding']
  logits = embedding @ params['head']
  stage = stage.reshape(-1, 2, 1, _HIDDEN)
  return {'stage': stage, 'embedding': embedding, 'logits': logits}


def _orthogonal(seed, rows, columns):
  square = np.linalg.qr(_normal(seed, *[max(rows, columns)] * 2))[0]
  return square[:rows, :columns]


# Well conditioned: what is compared to 1e-6 is in float32.
_MODEL = {
  'stage': _orthogonal(0, _DIM, 2 * _HIDDEN),
  'embedding': _orthogonal(1, 2 * _HIDDEN, _HIDDEN),
  'head': _orthogonal(2, _HIDDEN, _CLASSES),
}


def _global_batch(padded=()):
  real = ~np.isin(np.arange(_BATCH), padded)
  inputs = _normal(3, _BATCH, _DIM)
  teacher = {
    'stage': _normal(4, _BATCH, 2, 2, 3),
    'embedding': _normal(5, _BATCH, _HIDDEN),
    'logits': _normal(6, _BATCH, _CLASSES),
  }
  # Padding that would change everything, were it looked at.
  inputs[~real] *= 100
  teacher = {
    name: np.where(real.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)
    for name, x in teacher.items()
  }
  index = np.random.default_rng(7).permutation(_EXAMPLES)[:_BATCH]
  index[~real] = index[0]
  batch = {
    'label': np.int32(_LABELS[index]),
    'index': np.int32(index),
    'weight': (real * _BATCH / real.sum()).astype(np.float32),
  }
  return {'inputs': inputs, 'teacher': teacher, 'batch': batch}


@functools.cache
def _owned(name):
  shard = _global_batch()
  outputs = _student(_MODEL, shard['inputs'])
  return COUPLING[name].init(jax.random.key(1), outputs, shard['teacher'])


def _step(terms, step, states, shard):
  """By term: value and gradients, averaged over the devices, and state."""

  def one(name):
    def objective(params):
      value, state, _ = terms[name].apply(
        LossVariables(params['loss'], states[name]),
        _student(params['model'], shard['inputs']),
        shard['teacher'],
        shard['batch'],
        step,
      )
      return value, state

    params = {'model': _MODEL, 'loss': _owned(name).params}
    (value, state), slopes = jax.value_and_grad(objective, has_aux=True)(params)
    return (*jax.lax.pmean((value, slopes), 'batch'), state)

  return {name: one(name) for name in terms}


def _arguments(devices, padded, gathered):
  shards = jax.tree.map(
    lambda x: x.reshape(devices, -1, *x.shape[1:]), _global_batch(padded)
  )
  terms = TERMS if gathered else ALONE
  return jnp.int32(0), {name: _owned(name).state for name in terms}, shards


@functools.cache
def _program(devices, gathered):
  """All terms in one program, which compiles faster than one for each."""
  mapped = jax.pmap(
    functools.partial(_step, TERMS if gathered else ALONE),
    axis_name='batch',
    in_axes=(None, None, 0),
    out_axes=None,
    devices=jax.local_devices()[:devices],
  )
  lowered = mapped.lower(*_arguments(devices, (), gathered))
  return lowered.compile(_COMPILE_FAST)


@functools.cache
def _run(devices, padded=(), gathered=True):
  """Value, gradients and state by term, of two steps."""
  step, states, shards = _arguments(devices, padded, gathered)
  results = []
  for _ in range(_STEPS):
    result = _program(devices, gathered)(step, states, shards)
    states = {name: state for name, (*_, state) in result.items()}
    step += 1
    results.append(jax.device_get(result))
  return {name: [r[name] for r in results] for name in states}


@pytest.mark.parametrize('name', COUPLING)
@pytest.mark.parametrize(
  'padded',
  [(), (14, 15), tuple(range(8))],
  ids=['none', 'one of eight', 'one of two'],
)
def test_value_gradients_and_memory_are_of_the_global_batch(name, padded):
  expected = _run(1, padded)[name]
  for leaf in jax.tree.leaves(expected):
    assert np.isfinite(leaf).all()
  _, slopes, _ = expected[0]
  for part in (slopes['model']['stage'], *jax.tree.leaves(slopes['loss'])):
    assert np.abs(part).max() > 1e-5
  for devices in (2, 8):
    result = _run(devices, padded)[name]
    assert jax.tree.structure(result) == jax.tree.structure(expected)
    for a, b in zip(
      jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
    ):
      size = np.abs(b).max()
      np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * size)


@pytest.mark.parametrize('name', ALONE)
def test_without_it_every_device_computes_another_loss(name):
  (value, slopes, _), _ = _run(8)[name]
  (other, other_slopes, _), _ = _run(8, gathered=False)[name]
  assert abs(other - value) > 0.1 * value
  right, wrong = slopes['model']['stage'], other_slopes['model']['stage']
  assert np.abs(wrong - right).max() > 0.1 * np.abs(right).max()


@pytest.mark.parametrize('gathered', [True, False])
def test_every_device_remembers_the_whole_batch(gathered):
  index = _global_batch()['batch']['index']
  owned = _owned('memory').state
  (_, _, state), _ = _run(8, gathered=gathered)['memory']
  moved = np.any(state.memory.student != owned.memory.student, axis=1)
  remembered = index if gathered else index[:2]
  np.testing.assert_array_equal(np.flatnonzero(moved), np.sort(remembered))
  np.testing.assert_array_equal(state.key, owned.key)
