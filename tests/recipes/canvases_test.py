"""Distillation on a folder of images of unequal size, and on mixed images."""

import jax
import numpy as np
import PIL.Image
import pytest
import small_experiments
from small_experiments import given

from experiments import wiring
from kdjax import recipes, training
from kdjax.options import OptionError

_TINY = {
  'teacher': 'mlp_student',
  'student': 'mlp_student',
  'epochs': 2,
  'teacher_epochs': 1,
  'batch_size': 8,
  'seeds': 1,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """20 bright and 9 dark images for training, 6 of each for tests."""
  root, random = tmp_path_factory.mktemp('own'), np.random.default_rng(0)
  for part, counts in (('train', (20, 9)), ('test', (6, 6))):
    for name, low, count in zip(
      ('bright', 'dark'), (90, 0), counts, strict=True
    ):
      path = root / part / name
      path.mkdir(parents=True)
      for i in range(count):
        shape = (*random.integers(9, 20, 2), 3)
        pixels = random.integers(low, low + 160, shape).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(path / f'{i}.png')
  return f'folder:{root}'


def _wire(folder, devices=None, **changes):
  options = {**_TINY, 'dataset': folder, 'image_size': 8, **changes}
  return wiring.wire(given(**options), devices)


@pytest.fixture(scope='module')
def distilled(folder, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run')
  return workdir, small_experiments.distil(_wire(folder), workdir)


def test_evaluation_has_the_test_examples_of_training(tmp_path):
  random = np.random.default_rng(0)
  for name, low in (('bright', 90), ('dark', 0)):
    (tmp_path / 'own' / name).mkdir(parents=True)
    for i in range(20):
      pixels = random.integers(low, low + 160, (9, 9, 3)).astype(np.uint8)
      PIL.Image.fromarray(pixels).save(tmp_path / 'own' / name / f'{i}.png')
  (tmp_path / 'own' / 'dark' / 'broken.png').write_bytes(b'no image')
  asked = {'test_fraction': 0.25, 'broken_images': 'skip'}
  wired = _wire(f'folder:{tmp_path / "own"}', **asked)
  result = small_experiments.distil(wired, tmp_path / 'run')
  (found,) = recipes.evaluate(tmp_path / 'run' / 'distilled')
  assert found['examples'] == 10
  assert found['accuracy'] == pytest.approx(
    result.distilled.measures['accuracy'][0]
  )
  _, note = recipes.read_note(tmp_path / 'run' / 'distilled')
  with pytest.raises(OptionError, match=r'must be 0\.25, as in training'):
    recipes.open_test(note, dataset=note['dataset'], test_fraction=0.5)


def test_what_the_summary_says(distilled):
  _, result = distilled
  summary = recipes.summarise(result, 1.0)
  assert summary['split'] == 'test'
  assert summary['classes'] == {
    'bright': {'train': 20, 'test': 6},
    'dark': {'train': 9, 'test': 6},
  }
  assert summary['remarks'] == [
    'Images of unequal size are seen at 8 x 8 pixels (--image_size).'
  ]
  # A network costs what it does at its own size: 8 * 8 * 3 inputs, 16 units.
  flops = summary['student']['flops_per_example']
  assert 2 * 192 * 16 < flops < 4 * 192 * 16


def test_saved_networks_are_evaluated_as_in_training(distilled):
  workdir, result = distilled
  (network,) = recipes.load(workdir / 'distilled')
  assert network.model.note['image_size'] == 8
  assert network.model.note['resize'] == 9
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(x, y[0]),
    network.variables,
    jax.device_get(result.distilled.variables),
  )
  (found,) = recipes.evaluate(workdir / 'distilled')
  assert found['examples'] == 12
  for name, values in result.distilled.measures.items():
    assert found[name] == pytest.approx(values[0], rel=1e-6)


def test_streams_and_caches_see_the_same_views(folder, distilled, tmp_path):
  """The same training, whether views are drawn once or in every epoch."""
  expected = distilled[1].distilled.measures['loss']
  teacher = str(distilled[0])
  for place, changes in enumerate(
    ({'stream': True}, {'teacher_cache': 'device'})
  ):
    wired = _wire(folder, teacher_checkpoint=teacher, **changes)
    result = small_experiments.distil(
      wired, tmp_path / str(place), scratch=False
    )
    np.testing.assert_allclose(
      result.distilled.measures['loss'], expected, rtol=1e-5
    )


def test_another_canvas_takes_the_teacher_and_another_size_too(
  folder, distilled
):
  teacher = str(distilled[0])
  wired = _wire(folder, teacher_checkpoint=teacher, canvas=12, image_size=6)
  assert wired.teacher.model.note['image_size'] == 8
  assert wired.student.note['image_size'] == 6
  small_experiments.check(wired)


def test_mixed_images_do_not_depend_on_the_devices(folder, tmp_path):
  losses = []
  for count in (1, 4):
    devices = jax.local_devices()[:count]
    options = {'mixup': 0.4, 'cutmix': 1.0, 'class_weights': 'balanced'}
    wired = _wire(folder, devices, **options)
    experiment = wired.experiment._replace(workdir=tmp_path / str(count))
    fitted = recipes.train_scratch(experiment, wired.student)
    losses.append(fitted.measures['loss'])
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def _refused(message, *arguments, **changes):
  with pytest.raises(OptionError, match=message) as caught:
    small_experiments.check(_wire(*arguments, **changes))
  assert '\n' not in str(caught.value)


def test_mixed_images_that_do_not_fit(folder):
  _refused('batch_size=8: must be a multiple of 16', folder, mixup=1.0)
  _refused(
    'teacher_cache=device: cannot hold mixed images',
    folder,
    mixup=1.0,
    teacher_cache='device',
    batch_size=16,
  )
  for method in ('dkd', 'crd'):
    _refused(
      f'method={method}: needs one class per example',
      folder,
      method=method,
      mixup=1.0,
      batch_size=16,
    )
  # Without mixing they fit.
  small_experiments.check(_wire(folder, method='dkd'))


def test_class_weights_reach_the_methods(folder):
  """The gradient of a method's labels is the objective's own."""
  wired = _wire(folder, class_weights='balanced', method='kd', alpha=1.0)
  plan = recipes.plan(
    wired.experiment, wired.student, wired.teacher_model, wired.method
  )
  random = np.random.default_rng(0)
  logits = {'logits': random.normal(size=(4, 2)).astype(np.float32)}
  batch = {'label': np.int32([0, 1, 1, 0])}

  def labels(loss):
    variables = loss.init(jax.random.key(0), logits, logits)
    found = loss.apply(
      variables, *jax.tree.map(jax.numpy.asarray, (logits, logits, batch)), 0
    )
    return float(found[2]['labels'])

  weights = np.array([29 / 40, 29 / 18])
  assert wired.experiment.task.class_weights == pytest.approx(tuple(weights))
  probs = np.exp(np.float64(logits['logits']))
  probs /= probs.sum(axis=1, keepdims=True)
  each = -np.log(probs[np.arange(4), batch['label']]) * weights[batch['label']]
  (stage,) = plan.stages
  assert labels(stage.loss) == pytest.approx(each.mean(), rel=1e-5)
  assert labels(wired.task.objective) == pytest.approx(each.mean(), rel=1e-5)


def test_validation_in_place_of_the_test_set(folder, tmp_path):
  wired = _wire(folder, validation_fraction=0.2, epochs=1)
  assert len(wired.experiment.task.test) == 6
  result = small_experiments.distil(wired, tmp_path, scratch=False)
  assert recipes.summarise(result, 1.0)['split'] == 'validation'
  # The saved networks can still be tested.
  (found,) = recipes.evaluate(tmp_path / 'distilled')
  assert found['examples'] == 12
  assert training.is_measured(wired.experiment, result.teacher)
