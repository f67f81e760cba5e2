"""Digits, a trained teacher, and distillations by several methods."""

import functools

import jax
import pytest
import small_experiments
from jax.experimental.compilation_cache import compilation_cache as cache

from kdjax import data
from kdjax.training import build

_resident_epoch, _batches = build.resident_epoch, data.batches


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
def wire(digits_dir):
  """Makes the objects of an experiment with a tiny budget on digits."""
  return functools.partial(small_experiments.tiny, data_dir=digits_dir)


@pytest.fixture(scope='session')
def teacher_dir(wire, tmp_path_factory):
  """The workdir of a trained teacher."""
  workdir = tmp_path_factory.mktemp('teacher')
  small_experiments.train_teacher(wire(), workdir)
  return workdir


class _Outcome:
  """A distillation, and what it went through."""

  def __init__(self, workdir, wired, scratch):
    self.workdir, self.wired = workdir, wired
    self.observer = small_experiments.Observer()
    self.orders = []  # of each run, the numbers of the epochs it went through
    self.batches = []  # where they are streamed
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(build, 'resident_epoch', self._noted)
      patch.setattr(data, 'batches', self._seen)
      self.result = small_experiments.distil(
        wired, workdir, self.observer, scratch=scratch
      )

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
def distilled(wire, teacher_dir, tmp_path_factory):
  """Distills by a method; once for the session."""
  outcomes = {}

  def distil(method, *, scratch=True, **changes):
    key = (method, scratch, *changes.items())
    if key not in outcomes:
      wired = wire(
        method=method, teacher_checkpoint=str(teacher_dir), **changes
      )
      workdir = tmp_path_factory.mktemp('run')
      outcomes[key] = _Outcome(workdir, wired, scratch)
    return outcomes[key]

  return distil
