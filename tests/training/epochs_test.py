"""An epoch is the same on any number of devices, resident or streamed."""

import epoch_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import models, training, transforms


@pytest.fixture(scope='module')
def setup():
  return cases.Setup()


@pytest.fixture(scope='module')
def results(setup):
  forms = [('resident', 1), ('resident', 2), ('resident', 8)]
  forms += [('stepped', 8), ('streaming', 8)]
  return {form: cases.two_epochs(setup, *form) for form in forms}


@pytest.mark.parametrize('count', [2, 8])
def test_states_and_metrics_do_not_depend_on_the_device_count(results, count):
  one, several = results['resident', 1], results['resident', count]
  cases.assert_close(several.states, one.states)
  cases.assert_close(several.metrics, one.metrics)


@pytest.mark.parametrize('kind', ['stepped', 'streaming'])
def test_other_forms_are_resident(results, kind):
  resident, other = results['resident', 8], results[kind, 8]
  cases.assert_close(other.states, resident.states)
  cases.assert_close(other.metrics, resident.metrics)


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
    assert values.shape == (3, len(cases.SEEDS))
  assert np.all(second['loss'].mean(0) < first['loss'].mean(0))


def test_a_resident_epoch_moves_nothing_unasked(setup, results):
  result = results['resident', 8]
  states = training.replicate(setup.states)
  with jax.transfer_guard('disallow'):
    states, metrics = result.run(states, 0)
    jax.block_until_ready((states, metrics))
  cases.assert_close(jax.device_get(metrics), result.metrics[0])


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
      cases.assert_close(seen, metrics, 2e-5)
  cases.assert_close(result.states.model, states.model, 2e-5)


def test_devices_draw_dropout_of_their_own():
  """The state averages over devices what each of them has drawn."""

  def apply(variables, batch, *, train=False, key=None):
    del train
    images = batch['image']
    logits = images.reshape(images.shape[0], -1) @ variables.params['kernel']
    return {'logits': logits}, {'drawn': jax.random.uniform(key)}

  def init(key, batch):
    del key, batch
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
