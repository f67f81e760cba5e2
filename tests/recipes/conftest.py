"""Digits, a trained teacher, and an observer that remembers."""

import signal

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as cache

from kdjax import data, recipes, training

_resident_epoch, _batches = training.resident_epoch, data.batches


@pytest.fixture(scope='session')
def cache_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='module', autouse=True)
def compilation_cache(cache_dir):
  """The experiments here are small and alike: most time is compilation."""
  options = {
    'jax_compilation_cache_dir': cache_dir,
    'jax_persistent_cache_min_compile_time_secs': 0.05,
    'jax_disable_most_optimizations': True,
  }
  before = {name: jax.config.values[name] for name in options}
  for name, value in options.items():
    jax.config.update(name, value)
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  cache.reset_cache()


@pytest.fixture(scope='session')
def digits_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('digits')
  data.load('digits', data_dir=str(folder))
  return str(folder)


@pytest.fixture(scope='session')
def make_settings(digits_dir):
  """Settings of tiny budgets on digits."""

  def make(**changes):
    tiny = {
      'data_dir': digits_dir,
      'teacher': 'mlp_student',
      'epochs': 2,
      'teacher_epochs': 2,
      'seeds': 2,
    }
    return recipes.Settings(**{**tiny, **changes})

  return make


class _Observer:
  """Remembers what it is told; may ask to stop after an epoch."""

  def __init__(self, stop_after=None):
    self.started, self.epochs, self.values = [], [], []
    self.stop_after = stop_after
    self.number = None  # what `recipes` reads of a StopSignal

  def start(self, run, epochs, done):
    self.started.append((run, epochs, done))

  def epoch(self, run, epoch, seeds, train, test):
    self.epochs.append((run, epoch))
    self.values.append((run, epoch, seeds, train, test))
    if (run, epoch) == self.stop_after:
      self.number = signal.SIGTERM


@pytest.fixture(scope='session')
def observer():
  return _Observer


@pytest.fixture(scope='session')
def teacher_dir(make_settings, tmp_path_factory):
  """The workdir of a trained teacher."""
  workdir = tmp_path_factory.mktemp('teacher')
  experiment = recipes.prepare_teacher(make_settings())
  recipes.train_teacher(experiment, workdir, _Observer())
  return workdir


class _Outcome:
  """A distillation, and what it went through."""

  def __init__(self, workdir, settings, observer):
    self.workdir, self.observer = workdir, observer()
    self.orders = []  # of each run, the numbers of the epochs it went through
    self.batches = []  # where they are streamed
    self.experiment = recipes.prepare(settings)
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(training, 'resident_epoch', self._noted)
      patch.setattr(data, 'batches', self._seen)
      self.result = recipes.distill(self.experiment, workdir, self.observer)

  def _noted(self, *args, **kwargs):
    run, numbers = _resident_epoch(*args, **kwargs), []
    self.orders.append(numbers)

    def noted(states, epoch):
      numbers.append(epoch)
      return run(states, epoch)

    return noted

  def _seen(self, *args, **kwargs):
    for batch in _batches(*args, **kwargs):
      self.batches.append(batch)
      yield batch


@pytest.fixture(scope='session')
def distilled(make_settings, teacher_dir, observer, tmp_path_factory):
  """Distills by a method; once for the session."""
  outcomes = {}

  def distill(method, **changes):
    key = (method, *changes.items())
    if key not in outcomes:
      settings = make_settings(
        method=method, teacher_checkpoint=str(teacher_dir), **changes
      )
      workdir = tmp_path_factory.mktemp('run')
      outcomes[key] = _Outcome(workdir, settings, observer)
    return outcomes[key]

  return distill
