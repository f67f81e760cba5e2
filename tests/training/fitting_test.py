"""The loop: what it tells, saves and takes up again."""

import dataclasses
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import checkpoint, data, models, tasks, training, transforms
from kdjax.training import Budget, Experiment, Run, build

_RANDOM = np.random.default_rng(0)
_MEASURES = ('accuracy', 'loss', 'macro_f1')
_BUDGET = Budget(batch_size=4, epochs=4, seeds=2, seed=7, learning_rate=0.1)


class _Observer:
  """Remembers what it is told; may ask to stop after an epoch."""

  def __init__(self, stop_after=None):
    self.started, self.told, self.stop_after = [], [], stop_after
    self.number = None  # what the loop reads of a StopSignal

  def start(self, *values):
    self.started.append(values)

  def epoch(self, *values):
    self.told.append(values)
    if values[1] == self.stop_after:
      self.number = signal.SIGTERM


def _task():
  """Ten training examples: the third batch of an epoch holds two."""
  pixels = _RANDOM.integers(0, 255, (16, 2, 2, 1)).astype(np.uint8)
  source = data.from_arrays(pixels, np.arange(16) % 3)
  train, test = source.take(np.arange(10)), source.take(np.arange(10, 16))
  return tasks.classification('dots', train, test, 3, reported=_MEASURES)


_TASK = _task()
_MODEL = models.normalised(
  models.from_linen(models.MLP((4,), 3)), (100.0,), (60.0,)
)._replace(note={'model': 'tiny', 'classes': 3})


def _experiment(workdir, observer=None, **changes):
  observer = observer or _Observer()
  return Experiment(
    _TASK,
    dataclasses.replace(_BUDGET, **changes),
    workdir,
    observer,
    observer,
    devices=jax.local_devices()[:1],
  )


def _run(**changes):
  run = Run('plain', _MODEL, _TASK.objective, jax.random.key(0), 4)
  return run._replace(**changes)


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture
def epochs_run(monkeypatch):
  """Numbers of the epochs that any run goes through."""
  numbers, make = [], build.epoch

  def noted(*args):
    run_epoch = make(*args)

    def run(states, epoch):
      numbers.append(epoch)
      return run_epoch(states, epoch)

    return run

  monkeypatch.setattr(build, 'epoch', noted)
  return numbers


@pytest.fixture
def saved(monkeypatch, tmp_path):
  """Directories and steps of everything that is saved."""
  steps, save = [], checkpoint.save

  def noted(directory, step, *args, **kwargs):
    steps.append((directory.relative_to(tmp_path).as_posix(), step))
    return save(directory, step, *args, **kwargs)

  monkeypatch.setattr(checkpoint, 'save', noted)
  return steps


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that nobody disturbed."""
  observer = _Observer()
  workdir = tmp_path_factory.mktemp('whole')
  fitted = training.fit(_experiment(workdir, observer), _run())
  return workdir, observer, fitted


def test_the_observer_hears_of_every_epoch_in_numpy(whole):
  _, observer, fitted = whole
  assert observer.started == [('plain', 4, 0)]
  assert [told[:3] for told in observer.told] == [
    ('plain', epoch, (7, 8)) for epoch in (1, 2, 3, 4)
  ]
  for *_, train, test in observer.told:
    assert set(train) == {'loss', 'accuracy', 'gradient_norm', 'labels'}
    assert tuple(test) == _MEASURES
    for values in (*train.values(), *test.values()):
      assert isinstance(values, np.ndarray)
      assert values.shape == (2,)
  first, last = observer.told[0][3], observer.told[-1][3]
  assert np.all(last['loss'] < first['loss'])
  _assert_equal(fitted.measures, observer.told[-1][4])
  assert fitted.steps == 4 * 3
  assert fitted.seconds > 0


def test_epochs_are_numbered_on_from_earlier_stages(epochs_run, tmp_path):
  run = _run(epochs=2, epochs_before=3)
  training.fit(_experiment(tmp_path), run)
  assert epochs_run == [3, 4]


def test_what_is_told_of_training_is_a_mean_over_examples():
  metrics = {
    'loss': np.float32([[1, 10], [2, 20], [6, 60]]),
    'accuracy': np.float32([[0, 1], [1, 1], [0.5, 0]]),
  }
  # Ten examples: four, four and two.
  means = build.epoch_means(metrics, 10, 4)
  np.testing.assert_allclose(means['loss'], [2.4, 24.0])
  np.testing.assert_allclose(means['accuracy'], [0.5, 0.8])


def test_what_is_saved_can_be_read_again(whole):
  workdir, _, fitted = whole
  note = checkpoint.read_note(workdir / 'plain')
  assert note == json.loads(json.dumps(note))
  assert {name: note[name] for name in ('model', 'dataset', 'seeds')} == {
    'model': 'tiny',
    'dataset': 'dots',
    'seeds': [7, 8],
  }
  assert note['batch']['image'] == {'shape': [2, 2, 1], 'dtype': 'uint8'}
  assert note['measures'] == {
    name: pytest.approx(values.tolist())
    for name, values in fitted.measures.items()
  }
  _assert_equal(
    checkpoint.restore(workdir / 'plain', fitted.variables), fitted.variables
  )


def test_networks_are_the_students_one_by_one(whole):
  fitted = whole[2]
  for place in (0, 1):
    network = fitted.network(place)
    assert network.model is _MODEL
    assert network.name == 'tiny'
    _assert_equal(
      network.variables, jax.tree.map(lambda x, i=place: x[i], fitted.variables)
    )
    assert network.measures == {
      name: values[place] for name, values in fitted.measures.items()
    }
    assert all(isinstance(value, float) for value in network.measures.values())


def test_a_finished_run_has_nothing_to_do(whole, epochs_run):
  workdir, _, fitted = whole
  observer = _Observer()
  again = training.fit(_experiment(workdir, observer), _run())
  assert observer.started == [('plain', 4, 4)]
  assert observer.told == epochs_run == []
  assert again.steps == 0
  _assert_equal(again.variables, fitted.variables)
  _assert_equal(again.measures, fitted.measures)


def test_a_signal_ends_it_after_the_epoch_and_the_rest_is_the_same(
  whole, epochs_run, tmp_path
):
  observer = _Observer(stop_after=2)
  # No checkpoint is due.
  experiment = _experiment(tmp_path, observer, checkpoint_every=4)
  with pytest.raises(training.Interrupted) as caught:
    training.fit(experiment, _run())
  assert caught.value.signal_number == signal.SIGTERM
  message = str(caught.value)
  assert '\n' not in message
  assert 'epoch 2 of 4 of the plain run' in message
  assert f'--resume --workdir={tmp_path}' in message
  assert checkpoint.latest_step(tmp_path / 'checkpoints' / 'plain') == 2
  assert not (tmp_path / 'plain').exists()

  later = _Observer()
  fitted = training.fit(_experiment(tmp_path, later), _run())
  assert epochs_run == [0, 1, 2, 3]
  assert later.started == [('plain', 4, 2)]
  assert fitted.steps == 2 * 3
  _, undisturbed, expected = whole
  _assert_equal(fitted.variables, expected.variables)
  _assert_equal(fitted.measures, expected.measures)
  for one, other in zip(
    observer.told + later.told, undisturbed.told, strict=True
  ):
    assert one[:3] == other[:3]
    _assert_equal(one[3:], other[3:])


def test_checkpoints_come_every_few_epochs_and_after_the_last(saved, tmp_path):
  training.fit(_experiment(tmp_path, checkpoint_every=2), _run(epochs=3))
  assert saved == [
    ('checkpoints/plain', 2),
    ('checkpoints/plain', 3),
    ('plain', 3),
  ]


@pytest.mark.parametrize(('epochs', 'every'), [(3, 1), (20, 2)])
def test_by_default_they_come_after_a_tenth(saved, tmp_path, epochs, every):
  training.fit(_experiment(tmp_path), _run(epochs=epochs))
  *states, model = saved
  assert [step for _, step in states] == [*range(every, epochs + 1, every)]
  assert model == ('plain', epochs)


def test_a_run_starts_where_it_is_told(whole, tmp_path):
  start = whole[2].variables
  before = jax.device_get(start)
  frozen = transforms.stateless(lambda *_: jnp.zeros(()))
  run = _run(loss=frozen, epochs=1, start=start, freeze_unreached=True)
  fitted = training.fit(_experiment(tmp_path), run)
  _assert_equal(fitted.variables, before)
  moved = training.fit(
    _experiment(tmp_path),
    run._replace(name='decayed', freeze_unreached=False),
  )
  kernel = moved.variables.params['head']['kernel']
  assert not np.array_equal(kernel, before.params['head']['kernel'])
  _assert_equal(start, before)  # still the caller's: it was not donated


def test_a_part_of_an_experiment_has_names_of_its_own(saved, tmp_path):
  observer = _Observer(stop_after=1)
  experiment = _experiment(tmp_path, observer).part('one').part('two')
  with pytest.raises(training.Interrupted, match='of the one/two/plain run'):
    training.fit(experiment, _run(epochs=2))
  observer.number = None
  training.fit(experiment, _run(epochs=2))
  assert observer.started == [('one/two/plain', 2, 0), ('one/two/plain', 2, 1)]
  assert [told[:2] for told in observer.told] == [
    ('one/two/plain', 1),
    ('one/two/plain', 2),
  ]
  assert saved == [
    ('checkpoints/one/two/plain', 1),
    ('checkpoints/one/two/plain', 2),
    ('one/two/plain', 2),
  ]


def _divides_by_zero_at(bad_step):
  def apply(variables, student, teacher, batch, step):
    del teacher, batch
    distance = (step - bad_step).astype(jnp.float32)
    value = jnp.mean(student['logits']) * 0.0 / distance
    return value, variables.state, {}

  return transforms.LossTransform(lambda *_: transforms.LossVariables(), apply)


def test_a_loss_that_becomes_nan_ends_the_run(tmp_path):
  loss = transforms.weighted_sum(
    labels=(1.0, transforms.labels()), fragile=(1.0, _divides_by_zero_at(4))
  )
  observer = _Observer()
  experiment = _experiment(tmp_path, observer, checkpoint_every=1)
  with pytest.raises(training.DivergenceError) as caught:
    training.fit(experiment, _run(loss=loss))
  assert [told[1] for told in observer.told] == [1]
  message = str(caught.value)
  assert message.startswith('fragile became')
  assert 'labels' not in message
  assert 'at step 4 (epoch 2)' in message
  assert checkpoint.latest_step(tmp_path / 'checkpoints' / 'plain') == 1
  assert not (tmp_path / 'plain').exists()
