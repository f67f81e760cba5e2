"""The moving average of a student, against NumPy loops."""

import dataclasses
import pathlib
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import checkpoint, data, models, tasks, training
from kdjax.models import ModelVariables, Network
from kdjax.training import Budget, Experiment, Run, build

_RANDOM = np.random.default_rng(0)
_BUDGET = Budget(
  batch_size=8, epochs=2, seeds=2, learning_rate=0.2, checkpoint_every=1
)


def _task():
  """Eight training examples: an epoch is one step."""
  pixels = _RANDOM.integers(0, 255, (14, 4, 4, 1)).astype(np.uint8)
  source = data.from_arrays(pixels, np.arange(14) % 3)
  train, test = source.take(np.arange(8)), source.take(np.arange(8, 14))
  return tasks.classification('dots', train, test, 3)


_TASK = _task()
_MODEL = models.normalised(  # with batch statistics
  models.from_linen(models.ConvNet((3,), (1,), 3)), (127.0,), (74.0,)
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


def _experiment(workdir, *, stop=None, count=1, **changes):
  stop, budget = stop or _Stop(), dataclasses.replace(_BUDGET, **changes)
  devices = jax.local_devices()[:count]
  return Experiment(_TASK, budget, workdir, stop, stop, devices=devices)


_RUN = Run('plain', _MODEL, _TASK.objective, jax.random.key(0), 2)


def _numpy_average(decay, start, *later):
  """The average that starts at `start`, in float64."""

  def one(old, *new):
    mean = np.float64(old)
    for value in new:
      mean = decay * mean + (1 - decay) * np.float64(value)
    return mean

  return jax.tree.map(one, *jax.device_get((start, *later)))


def _assert_close(one, other, atol=1e-6):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol),
    one,
    other,
  )


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _state_after(experiment, epoch, workdir):
  """The state of a run of fewer epochs, without another schedule."""
  stop = _Stop(after=epoch)
  stopped = experiment._replace(workdir=workdir, observer=stop, stop=stop)
  with pytest.raises(training.Interrupted):
    training.fit(stopped, _RUN)
  template = build.initial_states(experiment, _RUN)
  return checkpoint.restore(workdir / 'checkpoints' / 'plain', template)


@pytest.fixture(scope='module')
def averaged(tmp_path_factory):
  """A run with an average, and its states after every step."""
  folder = tmp_path_factory.mktemp('averaged')
  experiment = _experiment(folder / 'whole', ema=0.7)
  fitted = training.fit(experiment, _RUN)
  states = [
    build.initial_states(experiment, _RUN),
    _state_after(experiment, 1, folder / 'one'),
    _state_after(experiment, 2, folder / 'two'),
  ]
  return folder / 'whole', experiment, fitted, states


def test_parameters_and_batch_statistics_are_averaged(averaged):
  _, _, fitted, states = averaged
  expected = _numpy_average(0.7, *(state.model for state in states))
  assert jax.tree.leaves(expected.state)  # there are batch statistics
  _assert_close(fitted.variables, expected)
  for leaf, last in zip(
    jax.tree.leaves(fitted.variables),
    jax.tree.leaves(states[-1].model),
    strict=True,
  ):
    assert not np.allclose(leaf, last, atol=1e-4)


def test_the_average_is_evaluated_and_saved(averaged):
  workdir, experiment, fitted, _ = averaged
  _assert_equal(
    checkpoint.restore(workdir / 'plain', fitted.variables), fitted.variables
  )
  for place in (0, 1):
    variables = jax.tree.map(lambda x, i=place: x[i], fitted.variables)
    network = Network(_MODEL, variables)
    found = training.evaluate_network(experiment, network)
    assert found.measures['loss'] == pytest.approx(
      fitted.measures['loss'][place], rel=1e-6
    )


def test_the_student_itself_trains_as_without_an_average(averaged, tmp_path):
  _, _, _, states = averaged
  plain = training.fit(_experiment(tmp_path), _RUN)
  _assert_close(plain.variables, states[-1].model, atol=1e-7)


def test_resume_is_bitwise(averaged, tmp_path):
  _, _, fitted, _ = averaged
  _state_after(_experiment(tmp_path, ema=0.7), 1, tmp_path)
  again = training.fit(_experiment(tmp_path, ema=0.7), _RUN)
  _assert_equal(again.variables, fitted.variables)
  _assert_equal(again.measures, fitted.measures)


def test_two_devices_average_as_one(tmp_path):
  # A batch norm would see another share of the batch.
  model = models.normalised(
    models.from_linen(models.MLP((4,), 3)), (127.0,), (74.0,)
  )
  found = [
    training.fit(
      _experiment(tmp_path / str(count), ema=0.7, count=count),
      _RUN._replace(student=model),
    ).variables
    for count in (1, 2)
  ]
  _assert_close(*found)


def test_an_average_moves_with_the_updates():
  """Two batches to an update: the states between them do not count."""
  optimizer = training.accumulated(
    training.make_optimizer('sgd', 0.5), training.updates_every(2, 4)
  )
  step = jax.jit(
    training.make_train_step(
      _MODEL,
      _TASK.objective,
      optimizer,
      ema=0.7,
      due=training.updates_every(2, 4),
    )
  )
  batch = {**_TASK.train.arrays(), 'index': jnp.arange(8)}
  batch['weight'] = jnp.ones(8)
  plain = training.init_state(
    0, _MODEL, _TASK.objective, optimizer, _TASK.batch(), {}
  )
  states = [training.with_average(plain)]
  for _ in range(4):
    states.append(step(states[-1], None, batch)[0])
  _assert_equal(states[1].average, states[0].average)
  _assert_equal(states[3].average, states[2].average)
  expected = _numpy_average(0.7, *(states[i].model for i in (0, 2, 4)))
  _assert_close(states[4].average, expected)


def test_counters_are_copied_and_constants_keep_every_bit():
  old = ModelVariables({'x': jnp.float32(0.1)}, {'count': jnp.int32(3)})
  new = ModelVariables({'x': jnp.float32(0.1)}, {'count': jnp.int32(8)})
  found = training.averaged(old, new, 0.9)
  assert int(found.state['count']) == 8
  assert float(found.params['x']) == float(np.float32(0.1))


def test_a_state_without_an_average_has_no_field_for_it():
  """Checkpoints from before there were averages can be restored."""
  experiment = _experiment(pathlib.Path())
  plain = jax.eval_shape(lambda: build.initial_states(experiment, _RUN))
  assert plain._fields == ('step', 'seed', 'model', 'loss', 'opt_state')
