"""An epoch is the same on any number of devices, resident or streamed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import data, models, training, transforms

_EXAMPLES, _BATCH, _CLASSES = 44, 16, 3  # the third batch is 12 and padding
_SEEDS = (0, 1)
_RANDOM = np.random.default_rng(0)
_PIXELS = _RANDOM.integers(0, 200, (_EXAMPLES, 4, 4, 1)).astype(np.uint8)
_LABELS = _RANDOM.integers(0, _CLASSES, _EXAMPLES).astype(np.int32)
_SHAPE = jax.ShapeDtypeStruct((_BATCH, 4, 4, 1), jnp.float32)
_KEY = 9
_EPOCHS = {
  'resident': training.resident_epoch,
  'stepped': training.stepped_epoch,
  'streaming': training.streaming_epoch,
}


def _source():
  return data.from_arrays(_PIXELS, _LABELS)


def _prepare(keys, images):
  return data.normalise(data.flip(keys, images), (100.0,), (60.0,))


def _loss(over_devices):
  relational = (
    transforms.relational_distance(),
    transforms.relational_angle(),
  )
  if over_devices:
    relational = map(transforms.across_devices, relational)
  distance, angle = relational
  return transforms.weighted_sum(
    labels=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets(temperature=4.0)),
    distance=(25.0, distance),
    angle=(50.0, angle),
  )


class _Setup:
  """Two students and a teacher."""

  def __init__(self):
    self.calls = []
    self.student = models.from_linen(models.MLP((8,), _CLASSES))
    self.teacher = models.from_linen(models.MLP((12,), _CLASSES))
    self.variables = jax.jit(self.teacher.init)(
      jax.random.key(1), jnp.zeros(_SHAPE.shape)
    )
    self.optimizer = training.make_optimizer('sgd', 0.05, weight_decay=1e-3)
    outputs, _ = jax.eval_shape(self.teacher.apply, self.variables, _SHAPE)
    self.states = jax.device_get(
      training.init_students(
        _SEEDS, self.student, _loss(True), self.optimizer, _SHAPE, outputs
      )
    )

  def step(self, axis_name=training.AXIS):
    def counted(*args, **kwargs):
      self.calls.append(args)
      return self.student.apply(*args, **kwargs)

    return training.make_train_step(
      self.student._replace(apply=counted),
      _loss(over_devices=axis_name is not None),
      self.optimizer,
      teacher=self.teacher,
      axis_name=axis_name,
      over_students=training.vmapped,
    )


class _Result(NamedTuple):
  """Two epochs, and what became of the states between them."""

  run: Callable
  states: Any
  metrics: list
  traces: int
  deleted: list[bool]
  shardings: list


def _two_epochs(setup, kind, count):
  devices = jax.local_devices()[:count]
  run = _EPOCHS[kind](
    setup.step(),
    setup.variables,
    _source(),
    _prepare,
    key=jax.random.key(_KEY),
    batch_size=_BATCH,
    devices=devices,
  )
  states = training.replicate(setup.states, devices)
  metrics, deleted, shardings = [], [], []
  setup.calls.clear()
  for epoch in range(2):
    before = states
    states, epoch_metrics = run(states, epoch)
    metrics.append(jax.device_get(epoch_metrics))
    deleted += [leaf.is_deleted() for leaf in jax.tree.leaves(before)]
    shardings += [leaf.sharding for leaf in jax.tree.leaves(states)]
  states = jax.device_get(states)
  return _Result(run, states, metrics, len(setup.calls), deleted, shardings)


@pytest.fixture(scope='module')
def setup():
  return _Setup()


@pytest.fixture(scope='module')
def results(setup):
  cases = [('resident', 1), ('resident', 2), ('resident', 8)]
  cases += [('stepped', 8), ('streaming', 8)]
  return {case: _two_epochs(setup, *case) for case in cases}


def _assert_close(one, other, tolerance=1e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, tolerance, tolerance),
    one,
    other,
  )


@pytest.mark.parametrize('count', [2, 8])
def test_states_and_metrics_do_not_depend_on_the_device_count(results, count):
  one, several = results['resident', 1], results['resident', count]
  _assert_close(several.states, one.states)
  _assert_close(several.metrics, one.metrics)


@pytest.mark.parametrize('kind', ['stepped', 'streaming'])
def test_other_forms_are_resident(results, kind):
  resident, other = results['resident', 8], results[kind, 8]
  _assert_close(other.states, resident.states)
  _assert_close(other.metrics, resident.metrics)


@pytest.mark.parametrize(
  'case',
  [('resident', 1), ('resident', 8), ('stepped', 8), ('streaming', 8)],
)
def test_the_step_is_traced_once_and_the_states_donated(setup, results, case):
  result = results[case]
  assert result.traces == 1
  assert result.deleted
  assert all(result.deleted)
  devices = set(jax.local_devices()[: case[1]])
  for sharding in result.shardings:
    assert sharding.is_fully_replicated
    assert sharding.device_set == devices
  assert jax.tree.map(np.shape, result.states) == jax.tree.map(
    np.shape, setup.states
  )


def test_metrics_have_a_row_per_step_and_fall(results):
  result = results['resident', 8]
  assert np.all(result.states.step == 6)
  first, second = result.metrics
  for values in (first | second).values():
    assert values.shape == (3, len(_SEEDS))
  assert np.all(second['loss'].mean(0) < first['loss'].mean(0))


def test_a_resident_epoch_moves_nothing_unasked(setup, results):
  result = results['resident', 8]
  states = training.replicate(setup.states)
  with jax.transfer_guard('disallow'):
    states, metrics = result.run(states, 0)
    jax.block_until_ready((states, metrics))
  _assert_close(jax.device_get(metrics), result.metrics[0])


def _record(kind, count, epoch):
  """What the steps of an epoch are given, by a step that only looks."""

  def look(states, teacher_variables, batch):
    del teacher_variables
    gathered = jax.tree.map(
      lambda x: jax.lax.all_gather(x, training.AXIS, tiled=True), dict(batch)
    )
    return states, gathered

  devices = jax.local_devices()[:count]
  run = _EPOCHS[kind](
    look,
    None,
    _source(),
    _prepare,
    key=jax.random.key(_KEY),
    batch_size=_BATCH,
    devices=devices,
  )
  states = training.replicate({'x': jnp.zeros(3)}, devices)
  _, batches = run(states, epoch)
  return jax.device_get(batches)


@pytest.fixture(scope='module')
def recorded():
  return [_record('resident', 1, epoch) for epoch in range(2)]


def test_an_epoch_shows_every_example_once(recorded):
  for batches in recorded:
    index, weight = batches['index'], batches['weight']
    assert index.shape == weight.shape == (3, _BATCH)
    assert sorted(index[weight > 0]) == list(range(_EXAMPLES))
    np.testing.assert_allclose(weight.mean(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(batches['label'], _LABELS[index])


def test_images_are_the_augmented_examples(recorded):
  images = (recorded[0]['image'] * 60.0 + 100.0).reshape(-1, 4, 4)
  pixels = _PIXELS[recorded[0]['index'].ravel(), :, :, 0]
  same = [
    np.allclose(x, y, atol=0.1) for x, y in zip(images, pixels, strict=True)
  ]
  mirrored = [
    np.allclose(x, y[:, ::-1], atol=0.1)
    for x, y in zip(images, pixels, strict=True)
  ]
  assert np.all(np.logical_xor(same, mirrored))
  assert 0.25 < np.mean(mirrored) < 0.75


def test_epochs_differ_in_order_and_augmentation(recorded):
  first, second = recorded
  assert not np.array_equal(first['index'], second['index'])
  by_example = [
    dict(zip(b['index'].ravel(), b['image'].reshape(-1, 16), strict=True))
    for b in recorded
  ]
  differing = [
    not np.array_equal(by_example[0][i], by_example[1][i])
    for i in range(_EXAMPLES)
  ]
  assert np.mean(differing) > 0.25


@pytest.mark.parametrize(
  ('kind', 'count'),
  [('resident', 8), ('streaming', 2)],
)
def test_order_and_augmentation_do_not_depend_on_devices(recorded, kind, count):
  batches = _record(kind, count, 1)
  for name, expected in recorded[1].items():
    np.testing.assert_allclose(batches[name], expected, rtol=1e-6, atol=1e-6)


def test_epochs_are_plain_steps_on_the_recorded_batches(
  setup, results, recorded
):
  """Without devices, without gathering: the global batch in one piece."""
  step = jax.jit(setup.step(axis_name=None))
  result, states = results['resident', 8], setup.states
  for epoch, batches in enumerate(recorded):
    for i in range(3):
      batch = {name: jnp.asarray(x[i]) for name, x in batches.items()}
      states, metrics = step(states, setup.variables, batch)
      seen = {name: x[i] for name, x in result.metrics[epoch].items()}
      _assert_close(seen, metrics, 2e-5)
  _assert_close(result.states.model, states.model, 2e-5)


@pytest.mark.parametrize('make', _EPOCHS.values())
def test_devices_must_divide_the_batch(make):
  with pytest.raises(ValueError, match=r'batch_size.* 8 devices, got 12'):
    make(
      lambda *args: args,
      None,
      _source(),
      _prepare,
      key=jax.random.key(0),
      batch_size=12,
      devices=jax.local_devices(),
    )


def test_devices_draw_dropout_of_their_own():
  """The state averages over devices what each of them has drawn."""

  def apply(variables, inputs, *, train=False, key=None):
    del train
    logits = inputs.reshape(inputs.shape[0], -1) @ variables.params['kernel']
    return {'logits': logits}, {'drawn': jax.random.uniform(key)}

  def init(key, inputs):
    del key, inputs
    params = {'kernel': jnp.zeros((16, _CLASSES))}
    return models.ModelVariables(params, {'drawn': jnp.zeros(())})

  model, loss = models.Model(init, apply), transforms.labels()
  optimizer, drawn = optax.sgd(0.1), {}
  step = training.make_train_step(
    model, loss, optimizer, axis_name=training.AXIS
  )
  for count in (1, 2):
    devices = jax.local_devices()[:count]
    run = training.streaming_epoch(
      step,
      None,
      _source().take(np.arange(8)),
      _prepare,
      key=jax.random.key(0),
      batch_size=8,
      devices=devices,
    )
    state = training.TrainState(
      step=jnp.int32(0),
      seed=jnp.uint32(0),
      model=init(None, None),
      loss=transforms.LossVariables(),
      opt_state=optimizer.init({'model': init(None, None).params, 'loss': {}}),
    )
    state, _ = run(training.replicate(state, devices), 0)
    drawn[count] = float(state.model.state['drawn'])
  assert 0 < drawn[1] < 1
  assert abs(drawn[2] - drawn[1]) > 1e-3
