"""Updates by the mean gradient of several batches."""

import dataclasses
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import data, models, tasks, training, transforms
from kdjax.training import Budget, Experiment, Run

_RANDOM = np.random.default_rng(0)
_BUDGET = Budget(
  batch_size=4,
  epochs=3,
  seeds=2,
  learning_rate=0.3,
  warmup_epochs=1,
  clip_norm=0.5,
)


def _task():
  """Twelve examples that no augmentation changes."""
  pixels = _RANDOM.integers(0, 255, (12, 2, 2, 1)).astype(np.uint8)
  source = data.from_arrays(pixels, np.arange(12) % 3)
  return tasks.classification('dots', source, source, 3)


_TASK = _task()
_MODEL = models.normalised(
  models.from_linen(models.MLP((4,), 3)), (100.0,), (60.0,)
)


class _Stop:
  """Asks to stop after an epoch."""

  def __init__(self, after=None):
    self.after, self.number = after, None

  def start(self, *values):
    pass

  def epoch(self, name, epoch, *values):
    if epoch == self.after:
      self.number = signal.SIGTERM


def _fit(workdir, *, stop=None, count=1, **changes):
  stop, budget = stop or _Stop(), dataclasses.replace(_BUDGET, **changes)
  experiment = Experiment(
    _TASK, budget, workdir, stop, stop, devices=jax.local_devices()[:count]
  )
  key = jax.random.key(0)
  run = Run('plain', _MODEL, _TASK.objective, key, experiment.epochs)
  return jax.device_get(training.fit(experiment, run).variables.params)


def _assert_close(one, other, atol=1e-6):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol),
    one,
    other,
  )


def test_small_batches_update_as_one_large_batch(tmp_path):
  # Both read the same permutation of the examples.
  large = _fit(tmp_path / 'large', batch_size=4)
  small = _fit(tmp_path / 'small', batch_size=2, accumulate=2)
  _assert_close(small, large)
  alone = _fit(tmp_path / 'alone', batch_size=2)
  assert not np.allclose(
    alone['head']['kernel'], small['head']['kernel'], atol=1e-3
  )


def test_two_devices_accumulate_as_one(tmp_path):
  one = _fit(tmp_path / 'one', accumulate=2)
  _assert_close(_fit(tmp_path / 'two', accumulate=2, count=2), one)


def test_a_run_that_stops_within_a_group_goes_on_as_if_it_had_not(tmp_path):
  # Three steps make an epoch, so the second group spans both sides.
  whole = _fit(tmp_path / 'whole', accumulate=2)
  with pytest.raises(training.Interrupted):
    _fit(tmp_path / 'part', accumulate=2, stop=_Stop(after=1))
  again = _fit(tmp_path / 'part', accumulate=2)
  jax.tree.map(np.testing.assert_array_equal, again, whole)


def test_the_last_group_of_a_run_may_be_smaller():
  """Five batches in groups of two, against a NumPy loop."""
  gradients = _RANDOM.normal(size=(5, 3))
  optimizer = training.accumulated(
    optax.sgd(
      lambda count: 0.1 * (count.astype(jnp.float32) + 1), momentum=0.9
    ),
    training.updates_every(2, 5),
  )
  params = {'x': jnp.ones(3)}
  state = optimizer.init(params)
  seen = []
  for gradient in gradients:
    updates, state = jax.jit(optimizer.update)(
      {'x': jnp.float32(gradient)}, state, params
    )
    params = optax.apply_updates(params, updates)
    seen.append(np.asarray(params['x']))
  expected, momentum = np.ones(3), np.zeros(3)
  groups = (gradients[:2], gradients[2:4], gradients[4:])
  for number, group in enumerate(groups):
    momentum = group.mean(axis=0) + 0.9 * momentum
    unchanged = expected
    expected = expected - 0.1 * (number + 1) * momentum
    if len(group) == 2:
      np.testing.assert_array_equal(seen[2 * number], np.float32(unchanged))
    np.testing.assert_allclose(
      seen[2 * number + len(group) - 1], expected, rtol=1e-5, atol=1e-6
    )
    expected = np.float64(seen[2 * number + len(group) - 1])


def test_a_group_longer_than_the_run_makes_one_update(tmp_path):
  """One update by the mean over all batches: the gradient of all examples."""
  changes = {'epochs': 1, 'warmup_epochs': 0}
  once = _fit(tmp_path / 'once', accumulate=99, **changes)
  whole = _fit(tmp_path / 'whole', batch_size=12, **changes)
  _assert_close(once, whole)


def test_a_coupled_loss_sees_one_batch_at_a_time(tmp_path):
  """The documented limit: pairs across the batches of a group do not count."""
  task = _TASK._replace(
    objective=transforms.weighted_sum(
      spread=(
        1.0,
        transforms.stateless(
          lambda student, *_: jnp.var(student['logits'], axis=0).sum()
        ),
      )
    )
  )
  found = {}
  for name, changes in {
    'small': {'batch_size': 6, 'accumulate': 2},
    'large': {'batch_size': 12},
  }.items():
    budget = dataclasses.replace(_BUDGET, epochs=2, **changes)
    experiment = Experiment(
      task, budget, tmp_path / name, devices=jax.local_devices()[:1]
    )
    run = Run('plain', _MODEL, task.objective, jax.random.key(0), 2)
    params = training.fit(experiment, run).variables.params
    found[name] = np.asarray(params['head']['kernel'])
  assert not np.allclose(found['small'], found['large'], atol=1e-5)
