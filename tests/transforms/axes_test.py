"""One global batch on 1, 2 and 8 devices: one value, one gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from references import losses as reference

from kdjax import transforms

_BATCH, _DIM, _HIDDEN, _CLASSES = 16, 5, 4, 3
_STEP = np.int32(20)
across = transforms.across_devices


def _on_axis(term):
  return transforms.on_axis(term, 'batch')


def _everything(across=across):
  """One of each term, those that couple examples gathered."""
  return transforms.weighted_sum(
    task=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets()),
    hint=(optax.linear_schedule(2.0, 0.0, 40), _hint(mean_squared=True)),
    distance=(25.0, across(transforms.relational_distance())),
    angle=(50.0, across(transforms.relational_angle())),
  )


def _hint(**kwargs):
  return transforms.hint(student='embedding', teacher='embedding', **kwargs)


_TERMS = {
  'distance': lambda: across(transforms.relational_distance()),
  'angle': lambda: across(transforms.relational_angle()),
  'everything': _everything,
  'everything on the axis': lambda: _on_axis(_everything(lambda x: x)),
  'gathered on the axis': lambda: _on_axis(_everything()),
  # A sum is a term too: its parameters and its labels are gathered for.
  'gathered sum': lambda: across(
    transforms.weighted_sum(
      hint=(1.0, _hint()),
      task=(1.0, transforms.labels()),
      distance=(1.0, transforms.relational_distance()),
    )
  ),
  'batch norm': lambda: _on_axis(_hint(batch_norm=True)),
  'distance per device': transforms.relational_distance,
  'angle per device': transforms.relational_angle,
}


def _student(params, inputs):
  embedding = inputs @ params['embedding']
  return {'embedding': embedding, 'logits': embedding @ params['head']}


def _normal(seed, *shape):
  return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def _global_batch(padded=()):
  real = ~np.isin(np.arange(_BATCH), padded)
  weight = (real * _BATCH / real.sum()).astype(np.float32)
  inputs = _normal(0, _BATCH, _DIM)
  # Padding that would change everything, were it looked at.
  inputs[~real] *= 100
  return {
    'inputs': inputs,
    'teacher': {
      'embedding': 3 * _normal(1, _BATCH, 6),
      'logits': _normal(2, _BATCH, _CLASSES),
    },
    'batch': {
      'label': np.arange(_BATCH, dtype=np.int32) % _CLASSES,
      'weight': weight,
    },
  }


@functools.cache
def _initial(name):
  """A term, the student's parameters, and what the term owns."""
  term, whole = _TERMS[name](), _global_batch()
  model = {
    'embedding': _normal(3, _DIM, _HIDDEN),
    'head': _normal(4, _HIDDEN, _CLASSES),
  }
  owned = jax.jit(term.init)(
    jax.random.key(0), _student(model, whole['inputs']), whole['teacher']
  )
  return term, model, owned


@functools.cache
def _program(name, devices):
  """Parameters, and `(params, shards) -> (value, gradients, state)`."""
  term, model, owned = _initial(name)

  def step(params, shard):
    def objective(params):
      value, state, _ = term.apply(
        transforms.LossVariables(params['loss'], owned.state),
        _student(params['model'], shard['inputs']),
        shard['teacher'],
        shard['batch'],
        jnp.asarray(_STEP),
      )
      return value, state

    (value, state), slopes = jax.value_and_grad(objective, has_aux=True)(params)
    return jax.lax.pmean((value, slopes, state), 'batch')

  mapped = jax.pmap(
    step,
    axis_name='batch',
    in_axes=(None, 0),
    out_axes=None,
    devices=jax.local_devices()[:devices],
  )
  return {'model': model, 'loss': owned.params}, mapped


def _run(name, devices, whole):
  params, mapped = _program(name, devices)
  shards = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), whole)
  return jax.device_get(mapped(params, shards))


def _assert_equal(result, expected, floor=0.0):
  """To 1e-6 of the size of each leaf, or of `floor` if that is more."""
  assert jax.tree.structure(result) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
  ):
    size = max(np.abs(b).max(), floor)
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * size)


many_devices = pytest.mark.parametrize(
  ('name', 'many'),
  [
    ('distance', (2, 8)),
    ('angle', (2, 8)),
    ('everything', (2, 8)),
    ('everything on the axis', (2, 8)),
    ('gathered on the axis', (8,)),
    ('gathered sum', (8,)),
  ],
)
paddings = pytest.mark.parametrize(
  'padded',
  [(), (14, 15), (15,), (0, 1, 2, 3, 4, 5, 6, 7)],
  ids=['none', 'one of eight', 'half a shard', 'one of two'],
)


@many_devices
@paddings
def test_value_and_gradients_do_not_depend_on_the_devices(name, many, padded):
  whole = _global_batch(padded)
  one = _run(name, 1, whole)
  for leaf in jax.tree.leaves(one):
    assert np.isfinite(leaf).all()
  assert np.abs(one[1]['model']['embedding']).max() > 1e-3
  for devices in many:
    _assert_equal(_run(name, devices, whole), one)


def test_batch_norm_over_the_axis_does_not_depend_on_the_devices():
  whole = _global_batch()
  one = _run('batch norm', 1, whole)
  # The bias before a batch norm has no gradient, only its rounding.
  _assert_equal(_run('batch norm', 8, whole), one, floor=1.0)


@pytest.mark.parametrize(
  ('name', 'loops'),
  [
    ('distance', reference.relational_distance),
    ('angle', reference.relational_angle),
  ],
)
@paddings
def test_eight_devices_match_loops(name, loops, padded):
  whole = _global_batch(padded)
  real = whole['batch']['weight'] > 0
  params, _ = _program(name, 8)
  inputs = np.float64(whole['inputs'][real])
  embedding = np.float64(params['model']['embedding'])
  expected = loops(inputs @ embedding, whole['teacher']['embedding'][real])
  value, _, _ = _run(name, 8, whole)
  assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('name', ['distance', 'angle'])
def test_padding_may_hold_nan(name):
  whole = _global_batch(padded=(14, 15))
  expected = _run(name, 1, whole)
  whole['teacher']['embedding'][14:] = np.nan
  _assert_equal(_run(name, 8, whole), expected)


@pytest.mark.parametrize('name', ['distance', 'angle'])
def test_without_it_every_device_computes_another_loss(name):
  whole = _global_batch()
  value, slopes, _ = _run(name, 1, whole)
  shards, shard_slopes, _ = _run(f'{name} per device', 8, whole)
  assert abs(shards - value) > 0.1 * value
  right, other = (s['model']['embedding'] for s in (slopes, shard_slopes))
  assert np.abs(other - right).max() > 0.1 * np.abs(right).max()


@pytest.mark.parametrize(
  'term',
  [
    transforms.labels(),
    transforms.relational_distance(),
    _hint(batch_norm=True),
    _everything(),
  ],
  ids=['example', 'coupled', 'batch norm', 'sum'],
)
def test_a_loss_is_made_for_one_axis(term):
  placed = transforms.on_axis(term, 'batch')
  again = transforms.on_axis(placed, 'batch')
  assert (again.init, again.apply) == (placed.init, placed.apply)
  with pytest.raises(
    ValueError, match=r"^axis_name must be 'batch', .* got 'model'\.$"
  ):
    transforms.on_axis(placed, 'model')
