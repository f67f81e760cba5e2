"""Whole experiments on digits, with tiny budgets."""

import jax
import numpy as np
import pytest

from kdjax import checkpoint, data, recipes, training, transforms

_resident_epoch = training.resident_epoch


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _load(workdir, run, experiment, name='mlp_student'):
  return recipes.load_variables(
    experiment.settings, experiment.dataset, workdir / run, name
  )


class _Outcome:
  def __init__(self, workdir, settings, observer):
    self.workdir, self.observer = workdir, observer()
    self.orders = []  # of each run, the numbers of the epochs it went through
    self.experiment = recipes.prepare(settings)
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(training, 'resident_epoch', self._noted)
      self.result = recipes.distill(self.experiment, workdir, self.observer)

  def _noted(self, *args, **kwargs):
    run, numbers = _resident_epoch(*args, **kwargs), []
    self.orders.append(numbers)

    def noted(states, epoch):
      numbers.append(epoch)
      return run(states, epoch)

    return noted


@pytest.fixture(scope='module')
def distilled(make_settings, teacher_dir, observer, tmp_path_factory):
  """Distills by a method; once for the module."""
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


def _numpy_accuracy(dataset, params):
  """Of a perceptron with one hidden layer, in float64."""
  test = dataset.test.arrays()
  image = (np.float64(test['image']) - dataset.mean) / dataset.std
  hidden, head = params['stage1']['dense'], params['head']
  x = image.reshape(len(image), -1) @ np.float64(hidden['kernel'])
  x = np.maximum(x + np.float64(hidden['bias']), 0)
  logits = x @ np.float64(head['kernel']) + np.float64(head['bias'])
  return np.mean(logits.argmax(axis=1) == test['label'])


def _row(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


@pytest.mark.parametrize('method', ['kd', 'fitnets', 'rkd'])
def test_what_a_distillation_returns(distilled, method):
  outcome = distilled(method)
  result, dataset = outcome.result, outcome.experiment.dataset
  assert result.experiment is outcome.experiment
  assert (result.teacher.name, result.student.name) == ('mlp_student',) * 2
  for trained in (result.scratch, result.distilled):
    assert trained.accuracy.shape == (2,)
    assert trained.steps == 4  # two epochs of 120 examples in batches of 64
    assert trained.seconds > 0
    for i in range(2):
      params = _row(trained.variables, i).params
      assert trained.accuracy[i] == pytest.approx(
        _numpy_accuracy(dataset, params), abs=0.002
      )
  _assert_equal(result.student.variables, _row(result.distilled.variables, 0))
  assert result.student.accuracy == float(result.distilled.accuracy[0])
  assert result.teacher.accuracy == pytest.approx(
    _numpy_accuracy(dataset, result.teacher.variables.params), abs=0.002
  )
  assert not np.allclose(
    result.scratch.variables.params['head']['kernel'],
    result.distilled.variables.params['head']['kernel'],
    atol=1e-4,
  )


@pytest.mark.parametrize('method', ['kd', 'fitnets'])
def test_the_models_are_on_disk_with_their_note(distilled, method):
  outcome = distilled(method)
  dataset = outcome.experiment.dataset
  for run in ('scratch', 'distilled'):
    trained = getattr(outcome.result, run)
    _assert_equal(
      _load(outcome.workdir, run, outcome.experiment), trained.variables
    )
    note = checkpoint.read_note(outcome.workdir / run)
    assert note == {
      'model': 'mlp_student',
      'classifier_of': None,
      'dataset': 'digits',
      'classes': 10,
      'image_shape': [8, 8, 1],
      'mean': list(dataset.mean),
      'std': list(dataset.std),
      'precision': 'float32',
      'seeds': [0, 1],
      'accuracy': [float(x) for x in trained.accuracy],
    }


def test_the_observer_hears_of_every_epoch(distilled):
  observer = distilled('fitnets').observer
  assert observer.started == [
    ('scratch', 2, 0),
    ('hint', 1, 0),
    ('distilled', 1, 0),
  ]
  assert observer.epochs == [
    ('scratch', 1),
    ('scratch', 2),
    ('hint', 1),
    ('distilled', 1),
  ]
  for run, _, seeds, train, test in observer.values:
    assert tuple(seeds) == (0, 1)
    assert set(test) == {'accuracy', 'loss'}
    names = {
      'scratch': {'labels'},
      'hint': {'hint'},
      'distilled': {'labels', 'soft'},
    }[run]
    assert set(train) == {'loss', 'accuracy', 'gradient_norm'} | names
    for values in (*train.values(), *test.values()):
      assert values.shape == (2,)


def test_scratch_and_distilled_differ_in_the_loss_alone(distilled):
  """With alpha 1 distillation is training from labels: from the same
  parameters, on the same images in the same order."""
  result = distilled('kd', alpha=1.0).result
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    result.scratch.variables,
    result.distilled.variables,
  )


def test_the_scratch_student_does_not_depend_on_the_method(distilled):
  _assert_equal(
    distilled('kd').result.scratch.variables,
    distilled('fitnets').result.scratch.variables,
  )


def _start(experiment):
  """The students before their first step."""
  settings, dataset, _ = experiment
  return training.init_students(
    (0, 1),
    recipes.make_model(settings, dataset, 'mlp_student'),
    transforms.labels(),
    training.make_optimizer('sgd', 0.1),
    jax.ShapeDtypeStruct((2, 8, 8, 1), np.float32),
    {},
  ).model


def test_the_hint_stage_leaves_upper_layers_alone(distilled):
  outcome = distilled('fitnets')
  start = _start(outcome.experiment).params
  hint = _load(outcome.workdir, 'hint', outcome.experiment).params
  _assert_equal(hint['head'], start['head'])
  for name, leaf in start['stage1']['dense'].items():
    assert not np.array_equal(hint['stage1']['dense'][name], leaf)
  end = outcome.result.distilled.variables.params
  assert not np.array_equal(end['head']['kernel'], start['head']['kernel'])


def test_the_second_stage_goes_on_where_the_first_ended(distilled):
  outcome = distilled('fitnets')
  assert outcome.orders == [[0, 1], [0], [1]]  # scratch, hint, distilled
  start = _start(outcome.experiment).params['stage1']['dense']['kernel']
  hint = _load(outcome.workdir, 'hint', outcome.experiment)
  hint = hint.params['stage1']['dense']['kernel']
  end = outcome.result.distilled.variables.params['stage1']['dense']['kernel']
  # What the hint stage has added is still there: the second stage's own part
  # is about as long and points elsewhere.
  first, rest = np.ravel(hint - start), np.ravel(end - start)
  assert first @ rest > 0.7 * first @ first


def test_the_reused_teacher_is_saved_beside_the_students(
  distilled, teacher_dir
):
  outcome = distilled('kd')
  original = _load(teacher_dir, 'teacher', outcome.experiment)
  copy = _load(outcome.workdir, 'teacher', outcome.experiment)
  _assert_equal(copy, original)
  _assert_equal(outcome.result.teacher.variables, _row(original, 0))
  assert checkpoint.read_note(
    outcome.workdir / 'teacher'
  ) == checkpoint.read_note(teacher_dir / 'teacher')


def test_the_teacher_alone(teacher_dir, make_settings):
  experiment = recipes.prepare_teacher(make_settings())
  note = checkpoint.read_note(teacher_dir / 'teacher')
  assert note['seeds'] == [0]
  params = _row(_load(teacher_dir, 'teacher', experiment), 0).params
  accuracy = _numpy_accuracy(experiment.dataset, params)
  assert note['accuracy'][0] == pytest.approx(accuracy, abs=0.002)
  assert accuracy > 0.3  # after two epochs over all 1,200 examples


def test_the_transfer_set_is_what_the_student_sees(distilled, monkeypatch):
  seen = []

  def batches(source, indices, weights, **kwargs):
    for batch in batches_of(source, indices, weights, **kwargs):
      seen.append(batch)
      yield batch

  batches_of = data.batches
  monkeypatch.setattr(data, 'batches', batches)
  outcome = distilled('kd', stream=True, scratch=False)
  train = outcome.experiment.dataset.train.arrays()
  subset = data.transfer_subset(0, train['label'], 120)
  wanted = sorted(train['image'][subset].reshape(120, -1).tolist())
  training_batches = [x for x in seen if len(x['label']) == 64]
  shown = [
    image
    for batch in training_batches
    for image in batch['image'][batch['weight'] > 0].reshape(-1, 64).tolist()
  ]
  for epoch in np.split(np.arange(240), 2):
    assert sorted(shown[i] for i in epoch) == wanted


def test_streaming_trains_the_same_students(distilled):
  resident = distilled('kd').result.distilled
  streamed = distilled('kd', stream=True, scratch=False)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    resident.variables,
    streamed.result.distilled.variables,
  )
  np.testing.assert_allclose(
    resident.accuracy, streamed.result.distilled.accuracy, atol=0.004
  )


def test_the_summary_holds_what_was_found(distilled):
  result = distilled('kd').result
  summary = recipes.summarise(result, 12.5)
  assert summary['dataset'] == 'digits'
  assert summary['method'] == 'kd'
  assert summary['seeds'] == [0, 1]
  assert summary['devices'] == 8
  assert summary['seconds'] == 12.5
  assert summary['steps_per_second'] > 0
  assert summary['teacher']['accuracy'] == result.teacher.accuracy
  assert summary['student']['parameters'] == 64 * 16 + 16 + 16 * 10 + 10
  for run in ('scratch', 'distilled'):
    accuracy = np.float64(getattr(result, run).accuracy)
    assert summary[run]['accuracy'] == accuracy.tolist()
    assert summary[run]['mean'] == pytest.approx(accuracy.mean())
  assert summary['gain']['mean'] == pytest.approx(
    summary['distilled']['mean'] - summary['scratch']['mean']
  )


def test_the_summary_without_scratch_has_no_gain(distilled):
  result = distilled('kd', stream=True, scratch=False).result
  assert result.scratch is None
  summary = recipes.summarise(result, 1.0)
  assert summary['scratch'] is None
  assert summary['gain'] is None
