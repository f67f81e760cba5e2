"""A cached teacher teaches what a live one does, and looks at a view once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import cache, data, models, tasks, training, transforms

_EXAMPLES, _BATCH, _CLASSES = 44, 16, 3  # the third batch is 12 and padding
_RANDOM = np.random.default_rng(0)
_SOURCE = data.from_arrays(
  _RANDOM.integers(0, 200, (_EXAMPLES, 4, 4, 1)).astype(np.uint8),
  _RANDOM.integers(0, _CLASSES, _EXAMPLES),
)
_SHAPE = {'image': jax.ShapeDtypeStruct((_BATCH, 4, 4, 1), jnp.uint8)}
_VIEWS = data.crop_flip_views(padding=1)
_FORMS = {
  'resident': training.resident_epoch,
  'stepped': training.stepped_epoch,
  'streaming': training.streaming_epoch,
}
_OUTPUTS = {'logits': (_CLASSES,), 'embedding': (12,)}


def _perceptron(width):
  network = models.from_linen(models.MLP((width,), _CLASSES))
  return models.normalised(network, (100.0,), (60.0,))


_STUDENT, _TEACHER = _perceptron(8), _perceptron(12)
_OPTIMIZER = training.make_optimizer('sgd', 0.05)
_LOSS = transforms.weighted_sum(
  labels=(0.1, transforms.labels()),
  soft=(0.9, transforms.soft_targets(temperature=4.0)),
  distance=(25.0, transforms.relational_distance()),
)


@pytest.fixture(scope='module')
def variables():
  zeros = {'image': jnp.zeros((_BATCH, 4, 4, 1), jnp.uint8)}
  return jax.jit(_TEACHER.init)(jax.random.key(1), zeros)


@pytest.fixture(scope='module')
def states(variables):
  outputs, _ = jax.eval_shape(_TEACHER.apply, variables, _SHAPE)
  return jax.device_get(
    training.init_students((0, 1), _STUDENT, _LOSS, _OPTIMIZER, _SHAPE, outputs)
  )


def _on_device(name, shape):
  del name
  return cache.DeviceStorage(
    _EXAMPLES * _VIEWS.total, shape, np.dtype(np.float32)
  )


def _cached(variables, count, make=_on_device, **changes):
  """A cached teacher, and where each of its traces is noted."""
  traces: list[Any] = []

  def apply(*args, **kwargs):
    traces.append(args)
    return _TEACHER.apply(*args, **kwargs)

  arguments = {
    'teacher': _TEACHER._replace(apply=apply),
    'variables': variables,
    'views': _VIEWS,
    'storages': {name: make(name, shape) for name, shape in _OUTPUTS.items()},
    'chunk': 20,
    'devices': jax.local_devices()[:count],
    **changes,
  }
  return training.CachedTeacher(**arguments), traces


def _train(states, variables, form, count, cached=None, epochs=range(3)):
  devices = jax.local_devices()[:count]
  step = training.make_train_step(
    _STUDENT,
    _LOSS,
    _OPTIMIZER,
    teacher=None if cached else _TEACHER,
    axis_name=training.AXIS,
    over_students=training.vmapped,
    measures={'accuracy': tasks.correct},
  )
  run = _FORMS[form](
    step,
    None if cached else variables,
    _SOURCE,
    _VIEWS.augment,
    key=jax.random.key(9),
    batch_size=_BATCH,
    devices=devices,
    cached=cached,
  )
  states, found = training.replicate(states, devices), []
  for epoch in epochs:
    states, metrics = run(states, epoch)
    found.append(jax.device_get(metrics))
  return found, run, states


@pytest.fixture(scope='module')
def live(variables, states):
  return _train(states, variables, 'resident', 1)[0]


def _seen(epochs):
  """The examples and views of these epochs, by the documented keys."""
  seen = []
  for epoch in epochs:
    key = jax.random.fold_in(jax.random.key(9), epoch)
    order_key, augment_key = jax.random.split(key)
    indices, _ = data.epoch_order(order_key, _EXAMPLES, _BATCH)
    for step in range(3):
      step_key = jax.random.fold_in(augment_key, step)
      keys = data.example_keys(step_key, jnp.arange(_BATCH))
      views = np.asarray(_VIEWS.draw(keys)).tolist()
      seen += zip(np.asarray(indices[step]).tolist(), views, strict=True)
  return seen


def _assert_close(one, other):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, 1e-6, 1e-6), one, other
  )


@pytest.mark.parametrize(
  ('form', 'count'),
  [('resident', 8), ('stepped', 2), ('streaming', 8)],
)
def test_losses_are_those_of_the_live_teacher(
  variables, states, live, form, count
):
  cached, traces = _cached(variables, count)
  found, *_ = _train(states, variables, form, count, cached)
  _assert_close(found, live)
  assert found[-1]['loss'].mean() < found[0]['loss'].mean()
  seen = _seen(range(3))
  assert cached.served == len(seen) == 3 * 3 * _BATCH
  assert cached.computed == len(set(seen)) < len(seen)
  assert len(traces) == 1


def test_what_was_seen_is_not_computed_again(variables, states):
  cached, _ = _cached(variables, 2)
  first, run, now = _train(states, variables, 'resident', 2, cached)
  computed = cached.computed
  fresh, again = training.replicate(states, jax.local_devices()[:2]), []
  for epoch in range(3):
    fresh, metrics = run(fresh, epoch)
    again.append(jax.device_get(metrics))
  jax.tree.map(np.testing.assert_array_equal, again, first)
  assert cached.computed == computed
  # Another epoch brings other views; nothing is moved unasked.
  with jax.transfer_guard('disallow'):
    jax.block_until_ready(run(now, 3))
  assert cached.computed == len(set(_seen(range(4)))) > computed


@pytest.mark.parametrize('kind', [cache.MemoryMap, cache.ArrayStore])
def test_another_process_pays_nothing(variables, tmp_path, kind):
  def make(name, shape):
    rows = _EXAMPLES * _VIEWS.total
    return kind(tmp_path, name, rows, shape, np.dtype(np.float32))

  cached, _ = _cached(variables, 2, make)
  indices, views = np.arange(_EXAMPLES), np.arange(_EXAMPLES) % _VIEWS.total
  first = cached.outputs(indices, views, _SOURCE.fetch)
  cached.flush()
  other, traces = _cached(variables, 2, make)
  again = other.outputs(indices, views, _SOURCE.fetch)
  assert cached.computed == _EXAMPLES
  assert other.computed == 0
  assert not traces
  jax.tree.map(np.testing.assert_array_equal, again, first)


def test_a_second_output_is_computed_where_it_is_missing(variables, tmp_path):
  def make(name, shape):
    return cache.MemoryMap(tmp_path, name, 792, shape, np.dtype(np.float32))

  indices, views = np.array([[3, 1], [1, 3]]), np.array([[0, 5], [5, 1]])
  examples = lambda places: _SOURCE.fetch(indices.ravel()[places])  # noqa: E731
  logits = {'logits': make('logits', (_CLASSES,))}
  cached, _ = _cached(variables, 1, storages=logits)
  cached.outputs(indices, views, examples)
  cached.flush()
  assert cached.computed == 3
  both, _ = _cached(variables, 1, make)
  found = both.outputs(indices, views, examples)
  assert both.computed == 3
  shown = _VIEWS.render(jnp.asarray(views.ravel()), examples(np.arange(4)))
  expected, _ = _TEACHER.apply(variables, shown)
  for name, shape in _OUTPUTS.items():
    assert found[name].shape == (2, 2, *shape)
    _assert_close(found[name].reshape(4, -1), expected[name])


def test_outputs_do_not_depend_on_what_was_missing(variables):
  """So that a run that was resumed is the same to the bit."""
  indices = np.arange(_EXAMPLES)
  views = np.arange(_EXAMPLES) % _VIEWS.total
  whole, _ = _cached(variables, 2)
  parts, _ = _cached(variables, 2)
  for part in (slice(30, 33), slice(0, 1), slice(20, 44)):
    chosen = indices[part]
    parts.outputs(
      chosen,
      views[part],
      lambda places, chosen=chosen: _SOURCE.fetch(chosen[places]),
    )
  jax.tree.map(
    np.testing.assert_array_equal,
    whole.outputs(indices, views, _SOURCE.fetch),
    parts.outputs(indices, views, _SOURCE.fetch),
  )


def test_a_teacher_that_answers_otherwise_is_noticed(variables):
  cached, _ = _cached(variables, 2)
  assert cached.largest_error(_SOURCE) == 0.0  # nothing is kept yet
  indices, views = np.arange(_EXAMPLES), np.arange(_EXAMPLES) % _VIEWS.total
  kept = cached.outputs(indices, views, _SOURCE.fetch)
  assert cached.largest_error(_SOURCE) < 1e-6
  storages = {name: _on_device(name, shape) for name, shape in _OUTPUTS.items()}
  rows = indices * _VIEWS.total + views
  for name, storage in storages.items():
    storage.write(rows, 1.01 * kept[name])
  other, _ = _cached(variables, 2, storages=storages)
  assert 0.002 < other.largest_error(_SOURCE) < 0.011
