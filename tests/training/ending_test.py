"""How training ends early: signals, and losses that diverge."""

import os
import signal

import numpy as np
import pytest

from kdjax import training
from kdjax.training import ending


def _metrics(steps=4, seeds=2):
  names = ('loss', 'gradient_norm', 'labels', 'soft')
  return {name: np.ones((steps, seeds), np.float32) for name in names}


def test_finite_metrics_pass():
  ending.check_finite(_metrics(), 0)


def test_the_first_term_that_diverged_is_named_with_its_step():
  metrics = _metrics()
  metrics['soft'][2:, 1] = np.nan
  metrics['labels'][3:, 1] = np.inf
  metrics['loss'][2:, 1] = np.nan
  metrics['gradient_norm'][2:, 1] = np.nan
  with pytest.raises(training.DivergenceError) as caught:
    ending.check_finite(metrics, epoch=5)
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
    ending.check_finite(metrics, 0)


def test_a_gradient_that_diverges_alone_is_named():
  metrics = _metrics()
  metrics['gradient_norm'][3] = np.inf
  with pytest.raises(training.DivergenceError, match='gradient_norm became'):
    ending.check_finite(metrics, 0)


def test_the_message_is_one_line_for_any_number_of_seeds():
  metrics = _metrics(seeds=40)
  metrics['soft'][1, 7] = np.nan
  with pytest.raises(training.DivergenceError) as caught:
    ending.check_finite(metrics, 0)
  assert '\n' not in str(caught.value)


def test_metrics_of_one_student_have_no_axis_of_seeds():
  metrics = {'loss': np.array([1.0, np.nan, np.nan], np.float32)}
  with pytest.raises(training.DivergenceError, match='loss became nan at step'):
    ending.check_finite(metrics, 0)


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
