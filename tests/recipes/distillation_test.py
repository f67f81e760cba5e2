"""Whole experiments on digits, with tiny budgets."""

import jax
import numpy as np
import pytest

from kdjax import checkpoint, recipes


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _stacked(workdir, run):
  """The variables that a run has saved, one model per seed."""
  networks = recipes.load(workdir / run)
  return jax.tree.map(
    lambda *leaves: np.stack(leaves), *(one.variables for one in networks)
  )


def _numpy_measures(dataset, params):
  """Of a perceptron with one hidden layer, in float64."""
  test = dataset.test.arrays()
  image = (np.float64(test['image']) - dataset.mean) / dataset.std
  hidden, head = params['stage1']['dense'], params['head']
  x = image.reshape(len(image), -1) @ np.float64(hidden['kernel'])
  x = np.maximum(x + np.float64(hidden['bias']), 0)
  logits = x @ np.float64(head['kernel']) + np.float64(head['bias'])
  log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  right = np.mean(logits.argmax(axis=1) == test['label'])
  return right, -log_probs[np.arange(len(image)), test['label']].mean()


def _row(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


@pytest.mark.parametrize('method', ['kd', 'fitnets', 'rkd'])
def test_what_a_distillation_returns(distilled, method):
  outcome = distilled(method)
  result, wired = outcome.result, outcome.wired
  assert result.method == method
  assert result.experiment == wired.experiment._replace(
    workdir=outcome.workdir, observer=outcome.observer, stop=outcome.observer
  )
  assert (result.teacher.name, result.student.name) == ('mlp_student',) * 2
  for fitted in (result.scratch, result.distilled):
    assert set(fitted.measures) == {'accuracy', 'loss'}
    assert fitted.steps == 4  # two epochs of 120 examples in batches of 64
    assert fitted.seconds > 0
    for name in fitted.measures:
      assert fitted.measures[name].shape == (2,)
    for i in range(2):
      params = _row(fitted.variables, i).params
      accuracy, loss = _numpy_measures(wired.dataset, params)
      assert fitted.measures['accuracy'][i] == pytest.approx(
        accuracy, abs=0.002
      )
      assert fitted.measures['loss'][i] == pytest.approx(loss, rel=1e-4)
  _assert_equal(result.student.variables, _row(result.distilled.variables, 0))
  assert result.student.measures == {
    name: float(values[0]) for name, values in result.distilled.measures.items()
  }
  accuracy, loss = _numpy_measures(
    wired.dataset, result.teacher.variables.params
  )
  assert result.teacher.measures['accuracy'] == pytest.approx(
    accuracy, abs=0.002
  )
  assert result.teacher.measures['loss'] == pytest.approx(loss, rel=1e-4)
  assert not np.allclose(
    result.scratch.variables.params['head']['kernel'],
    result.distilled.variables.params['head']['kernel'],
    atol=1e-4,
  )


@pytest.mark.parametrize('method', ['kd', 'fitnets'])
def test_the_models_are_on_disk_with_their_note(distilled, method):
  outcome = distilled(method)
  dataset = outcome.wired.dataset
  for run in ('scratch', 'distilled'):
    fitted = getattr(outcome.result, run)
    _assert_equal(_stacked(outcome.workdir, run), fitted.variables)
    note = checkpoint.read_note(outcome.workdir / run)
    assert note == {
      'model': 'mlp_student',
      'dataset': 'digits',
      'class_names': [str(i) for i in range(10)],
      'opening': {},
      'classes': 10,
      'batch': {
        'image': {'shape': [8, 8, 1], 'dtype': 'uint8'},
        'label': {'shape': [], 'dtype': 'int32'},
        'index': {'shape': [], 'dtype': 'int32'},
        'weight': {'shape': [], 'dtype': 'float32'},
      },
      'mean': list(dataset.mean),
      'std': list(dataset.std),
      'precision': 'float32',
      'seeds': [0, 1],
      'measures': {
        name: [float(x) for x in values]
        for name, values in fitted.measures.items()
      },
    }


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


def test_the_reused_teacher_is_saved_beside_the_students(
  distilled, teacher_dir
):
  outcome = distilled('kd')
  original = _stacked(teacher_dir, 'teacher')
  copy = _stacked(outcome.workdir, 'teacher')
  _assert_equal(copy, original)
  _assert_equal(outcome.result.teacher.variables, _row(original, 0))
  assert checkpoint.read_note(
    outcome.workdir / 'teacher'
  ) == checkpoint.read_note(teacher_dir / 'teacher')


def test_the_teacher_alone(teacher_dir, wire):
  note = checkpoint.read_note(teacher_dir / 'teacher')
  assert note['seeds'] == [0]
  params = _row(_stacked(teacher_dir, 'teacher'), 0).params
  accuracy, _ = _numpy_measures(wire().dataset, params)
  assert note['measures']['accuracy'][0] == pytest.approx(accuracy, abs=0.002)
  assert accuracy > 0.3  # after two epochs over all 1,200 examples


def test_streaming_trains_the_same_students(distilled):
  resident = distilled('kd').result.distilled
  streamed = distilled('kd', stream=True, scratch=False).result.distilled
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    resident.variables,
    streamed.variables,
  )
  np.testing.assert_allclose(
    resident.measures['accuracy'], streamed.measures['accuracy'], atol=0.004
  )


@pytest.mark.parametrize('method', ['kd', 'fitnets', 'crd'])
def test_a_teacher_ahead_changes_no_result(distilled, method):
  """Epochs have three steps, of 40 examples."""
  ahead, live = (
    distilled(method, teacher_batches=batches, batch_size=40).result.distilled
    for batches in (3, 1)
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    ahead.variables,
    live.variables,
  )
