"""Whole experiments on digits, with tiny budgets."""

import jax
import numpy as np
import pytest

from kdjax import checkpoint, recipes


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _load(workdir, run, experiment, name='mlp_student'):
  return recipes.load_variables(
    experiment.settings, experiment.dataset, workdir / run, name
  )


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
