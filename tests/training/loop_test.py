"""The loop, and how it ends early."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data, models, training, transforms
from kdjax.training import loop


def test_fit_numbers_the_epochs_and_hands_over_numpy():
  seen, told = [], []

  def run_epoch(states, epoch):
    seen.append(epoch)
    return states + 1, {'loss': jnp.full((2,), float(epoch))}

  def after_epoch(epoch, states, metrics):
    assert isinstance(metrics['loss'], np.ndarray)
    told.append((epoch, states, metrics['loss'].tolist()))

  result = training.fit(
    10, run_epoch, first_epoch=2, epochs=4, after_epoch=after_epoch
  )
  assert result == 12
  assert seen == [2, 3]
  assert told == [(3, 11, [2.0, 2.0]), (4, 12, [3.0, 3.0])]


def test_fit_has_nothing_to_do_after_the_last_epoch():
  states = training.fit(
    'states', None, first_epoch=3, epochs=3, after_epoch=None
  )
  assert states == 'states'


def _metrics(steps=4, seeds=2):
  names = ('loss', 'gradient_norm', 'labels', 'soft')
  return {name: np.ones((steps, seeds), np.float32) for name in names}


def test_finite_metrics_pass():
  loop.check_finite(_metrics(), 0)


def test_the_first_term_that_diverged_is_named_with_its_step():
  metrics = _metrics()
  metrics['soft'][2:, 1] = np.nan
  metrics['labels'][3:, 1] = np.inf
  metrics['loss'][2:, 1] = np.nan
  metrics['gradient_norm'][2:, 1] = np.nan
  with pytest.raises(training.DivergenceError) as caught:
    loop.check_finite(metrics, epoch=5)
  message = str(caught.value)
  assert message.startswith('soft became')
  assert 'nan' in message
  assert 'step 22 ' in message
  assert 'epoch 6' in message
  assert 'labels' not in message


def test_terms_that_diverge_together_are_all_named():
  metrics = _metrics()
  for name in metrics:
    metrics[name][1:] = np.inf
  with pytest.raises(training.DivergenceError, match='labels, soft became'):
    loop.check_finite(metrics, 0)


def test_a_gradient_that_diverges_alone_is_named():
  metrics = _metrics()
  metrics['gradient_norm'][3] = np.inf
  with pytest.raises(training.DivergenceError, match='gradient_norm became'):
    loop.check_finite(metrics, 0)


def test_the_message_is_one_line_for_any_number_of_seeds():
  metrics = _metrics(seeds=40)
  metrics['soft'][1, 7] = np.nan
  with pytest.raises(training.DivergenceError) as caught:
    loop.check_finite(metrics, 0)
  assert '\n' not in str(caught.value)


def test_metrics_of_one_student_have_no_axis_of_seeds():
  metrics = {'loss': np.array([1.0, np.nan, np.nan], np.float32)}
  with pytest.raises(training.DivergenceError, match='loss became nan at step'):
    loop.check_finite(metrics, 0)


def _divides_by_zero_at(bad_step):
  def apply(variables, student, teacher, batch, step):
    del teacher, batch
    distance = (step - bad_step).astype(jnp.float32)
    value = jnp.mean(student['logits']) * 0.0 / distance
    return value, variables.state, {}

  return transforms.LossTransform(lambda *_: transforms.LossVariables(), apply)


def test_a_loss_that_becomes_nan_ends_the_run():
  network = models.from_linen(models.MLP((4,), 3))
  model = models.normalised(network, (0.0,), (1.0,))
  loss = transforms.weighted_sum(
    labels=(1.0, transforms.labels()), fragile=(1.0, _divides_by_zero_at(3))
  )
  optimizer = training.make_optimizer('sgd', 0.1)
  batch = {'image': jax.ShapeDtypeStruct((4, 2, 2, 1), jnp.uint8)}
  devices = jax.local_devices()[:1]
  run_epoch = training.resident_epoch(
    training.make_train_step(
      model,
      loss,
      optimizer,
      axis_name=training.AXIS,
      over_students=training.vmapped,
    ),
    None,
    data.from_arrays(np.ones((8, 2, 2, 1), np.uint8), np.arange(8) % 3),
    data.identity_view().augment,
    key=jax.random.key(0),
    batch_size=4,
    devices=devices,
  )
  states = training.init_students((0, 1), model, loss, optimizer, batch, {})
  told = []
  with pytest.raises(training.DivergenceError) as caught:
    training.fit(
      training.replicate(states, devices),
      run_epoch,
      first_epoch=0,
      epochs=5,
      after_epoch=lambda epoch, states, metrics: told.append(epoch),
    )
  assert told == [1]
  assert 'fragile became' in str(caught.value)
  assert 'labels' not in str(caught.value)
  assert 'at step 3 (epoch 2)' in str(caught.value)


@pytest.fixture
def received():
  """Signals that reach the handler from before; the real one is restored."""
  numbers = []
  before = {
    number: signal.signal(number, lambda n, frame: numbers.append(n))
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  yield numbers
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_second_acts(received, number):
  handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  with training.StopSignal() as stop:
    assert stop.number is None
    assert all(signal.getsignal(n) != h for n, h in handlers.items())
    os.kill(os.getpid(), number)
    assert stop.number == number
    assert received == []
    os.kill(os.getpid(), number)
    assert received == [number]
  assert {n: signal.getsignal(n) for n in handlers} == handlers


def test_handlers_are_restored_after_an_error(received):
  del received
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(RuntimeError), training.StopSignal():
    raise RuntimeError
  assert signal.getsignal(signal.SIGTERM) is before
