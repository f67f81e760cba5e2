"""An epoch is the same on any number of devices, resident or streamed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import epoch_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import models, training, transforms

_SEEDS = (0, 1)
_SHAPE = jax.ShapeDtypeStruct((cases.BATCH, 4, 4, 1), jnp.float32)


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
    self.student = models.from_linen(models.MLP((8,), cases.CLASSES))
    self.teacher = models.from_linen(models.MLP((12,), cases.CLASSES))
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
  run = cases.EPOCHS[kind](
    setup.step(),
    setup.variables,
    cases.source(),
    cases.prepare,
    key=jax.random.key(cases.KEY),
    batch_size=cases.BATCH,
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


def test_devices_draw_dropout_of_their_own():
  """The state averages over devices what each of them has drawn."""

  def apply(variables, inputs, *, train=False, key=None):
    del train
    logits = inputs.reshape(inputs.shape[0], -1) @ variables.params['kernel']
    return {'logits': logits}, {'drawn': jax.random.uniform(key)}

  def init(key, inputs):
    del key, inputs
    params = {'kernel': jnp.zeros((16, cases.CLASSES))}
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
      cases.source().take(np.arange(8)),
      cases.prepare,
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
