"""Distillation from a cached teacher is distillation from a live one."""

import shutil

import jax
import numpy as np
import pytest

from kdjax import models, recipes, training
from kdjax.recipes import cache_checks

_VIEWS = 120 * 9  # transfer examples, shifts by at most a pixel


@pytest.fixture(scope='module')
def distill(make_settings, teacher_dir, observer, tmp_path_factory):
  """Runs a distillation; returns its result and what its observer heard."""

  def run(workdir=None, stop_after=None, **changes):
    settings = make_settings(
      **{'teacher_checkpoint': str(teacher_dir), 'scratch': False, **changes}
    )
    listener = observer(stop_after)
    place = workdir or tmp_path_factory.mktemp('run')
    experiment = recipes.prepare(settings)
    return recipes.distill(experiment, place, listener, listener), listener

  return run


def _assert_same_metrics(one, other):
  assert len(one.values) == len(other.values) > 0
  for mine, yours in zip(one.values, other.values, strict=True):
    assert mine[:3] == yours[:3]
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, 1e-6, 1e-6),
      mine[3:],
      yours[3:],
    )


@pytest.mark.parametrize(
  'changes',
  [
    {'teacher_cache': 'device'},
    {'teacher_cache': 'memory_map'},
    {'teacher_cache': 'array_store', 'stream': True},
    {'teacher_cache': 'device', 'method': 'fitnets,rkd', 'epochs': 4},
    # Batch norm and convolutions, in batches of another size.
    {
      'teacher_cache': 'device',
      'method': 'at',
      'teacher_checkpoint': None,
      'teacher': 'cnn_student',
      'student': 'cnn_student',
      'transfer_examples': 24,
      'teacher_epochs': 1,
      'seeds': 1,
    },
  ],
)
def test_losses_are_those_of_the_live_teacher(distill, changes):
  live = {**changes, 'teacher_cache': 'none'}
  (_, expected), (result, found) = distill(**live), distill(**changes)
  _assert_same_metrics(found, expected)
  assert 0 < result.cached.computed <= min(_VIEWS, result.cached.served)
  assert recipes.summarise(result, 1.0)['teacher_cache'] == {
    'computed': result.cached.computed,
    'served': result.cached.served,
  }


def test_a_second_method_and_seed_pay_nothing(distill, tmp_path):
  shared = {
    'teacher_cache': 'memory_map',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  first, _ = distill(**shared)
  second, _ = distill(**shared, method='dkd', seed=5)
  assert first.cached.computed > 0
  assert second.cached.computed == 0
  # What another method reads beside the logits is computed, and only that.
  third, _ = distill(**shared, method='rkd')
  names = {path.name.partition('-')[0] for path in tmp_path.rglob('*.values')}
  assert 'logits' in names
  assert len(names) == 2
  assert third.cached.computed == first.cached.computed


def test_resume_is_bitwise_though_the_device_forgets(distill, tmp_path):
  changes = {'teacher_cache': 'device', 'checkpoint_every': 1, 'epochs': 3}
  whole, _ = distill(**changes)
  with pytest.raises(training.Interrupted):
    distill(workdir=tmp_path, stop_after=('distilled', 2), **changes)
  resumed, _ = distill(workdir=tmp_path, **changes)
  assert 0 < resumed.cached.computed < whole.cached.computed
  jax.tree.map(
    np.testing.assert_array_equal,
    resumed.distilled.variables,
    whole.distilled.variables,
  )


@pytest.mark.parametrize(
  ('change', 'words'),
  [
    ({'augmentation': 'none'}, "its augmentation is 'shift', not 'none'"),
    ({'data_seed': 1}, 'its images is '),
    ({'transfer_examples': 100}, 'its examples is 120, not 100'),
    ({'teacher_cache': 'array_store', 'precision': 'bfloat16'}, 'precision'),
  ],
)
def test_a_stale_cache_is_refused_before_training(
  distill, make_settings, teacher_dir, tmp_path_factory, change, words
):
  place = str(tmp_path_factory.getbasetemp() / 'stale')
  kept = {'teacher_cache': 'memory_map', 'teacher_cache_dir': place}
  distill(**kept)
  # Also before there is a teacher.
  for checkpoint in (str(teacher_dir), None):
    asked = {**kept, 'teacher_checkpoint': checkpoint, **change}
    with pytest.raises(recipes.SettingsError, match=words) as caught:
      recipes.prepare(make_settings(**asked))
    assert str(caught.value).startswith(f'teacher_cache_dir={place}: ')
    assert '\n' not in str(caught.value)


def test_another_teacher_is_refused(
  distill, make_settings, observer, tmp_path_factory
):
  other = tmp_path_factory.mktemp('other')
  settings = make_settings(data_seed=3)
  recipes.train_teacher(recipes.prepare_teacher(settings), other, observer())
  place = str(tmp_path_factory.mktemp('shared') / 'cache')
  kept = {'teacher_cache': 'array_store', 'teacher_cache_dir': place}
  distill(**kept)
  settings = make_settings(**kept, teacher_checkpoint=str(other))
  with pytest.raises(recipes.SettingsError, match='its teacher is '):
    recipes.prepare(settings)


def test_other_preprocessing_code_is_noticed(distill, tmp_path, monkeypatch):
  kept = {
    'teacher_cache': 'memory_map',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  distill(**kept)
  normalised = models.normalised
  monkeypatch.setattr(
    models,
    'normalised',
    lambda model, mean, std: normalised(model, mean, [x / 1.01 for x in std]),
  )
  with pytest.raises(recipes.SettingsError, match='is stale: its outputs'):
    distill(**kept)


def test_a_method_that_reads_nothing_keeps_nothing(distill, tmp_path):
  result, _ = distill(
    workdir=tmp_path, teacher_cache='memory_map', method='label_smoothing'
  )
  assert result.cached is None
  assert not (tmp_path / 'teacher_cache').exists()


def test_a_full_disk_and_a_crowded_device_are_foreseen(
  make_settings, monkeypatch, tmp_path
):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    cache_checks.shutil, 'disk_usage', lambda _: usage._replace(free=9000)
  )
  # Two epochs show 240 views at most, of 40 bytes.
  settings = make_settings(
    teacher_cache='memory_map', teacher_cache_dir=str(tmp_path / 'new')
  )
  with pytest.raises(recipes.SettingsError, match='room for') as caught:
    recipes.prepare(settings)
  assert str(caught.value).startswith('teacher_cache=memory_map: logits')
  monkeypatch.undo()
  recipes.prepare(settings)
  monkeypatch.setattr(cache_checks, '_LARGEST_ON_DEVICE', 4799)
  with pytest.raises(recipes.SettingsError, match='needs --stream'):
    recipes.prepare(settings)


def test_places_that_cannot_be_written_to(make_settings, tmp_path):
  (tmp_path / 'file').write_text('')
  for place in (tmp_path / 'file', tmp_path / 'file' / 'below'):
    settings = make_settings(
      teacher_cache='array_store', teacher_cache_dir=str(place)
    )
    with pytest.raises(recipes.SettingsError, match='no directory'):
      recipes.prepare(settings)


def test_two_methods_with_best_classes_share_a_directory(distill, tmp_path):
  kept = {
    'teacher_cache': 'array_store',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  for changes in ({}, {'temperature': 2.0}, {'top_k': 3}):
    distill(**kept, **changes, method='kd,kd_top_k')
  names = {path.name for path in (tmp_path / 'cache').glob('top*.values.zarr')}
  assert names == {
    f'top_k_{what}-k{k}-t{t}-{dtype}.values.zarr'
    for what, dtype in (('indices', 'int32'), ('log_probs', 'float32'))
    for k, t in ((5, 4), (5, 2), (3, 4))
  }


def test_too_much_for_the_device_is_refused_with_its_size(
  make_settings, monkeypatch
):
  """120 examples, 9 views and 10 logits of 4 or 2 bytes."""
  settings = make_settings(teacher_cache='device')
  monkeypatch.setattr(cache_checks, '_LARGEST_ON_DEVICE', 43200)
  recipes.prepare(settings)
  monkeypatch.setattr(cache_checks, '_LARGEST_ON_DEVICE', 43199)
  with pytest.raises(recipes.SettingsError, match=r'logits would take 0\.0 GB'):
    recipes.prepare(settings)
  halved = make_settings(
    teacher_cache='device', teacher_cache_precision='bfloat16'
  )
  recipes.prepare(halved)


def test_the_best_of_all_classes_are_soft_targets(distill):
  _, soft = distill(method='kd')
  _, best = distill(method='kd_top_k', top_k=10, teacher_cache='array_store')
  for mine, yours in zip(best.values, soft.values, strict=True):
    np.testing.assert_allclose(mine[3]['loss'], yours[3]['loss'], rtol=1e-5)
    np.testing.assert_allclose(mine[3]['top_k'], yours[3]['soft'], rtol=1e-5)


def test_the_best_must_be_among_the_classes(make_settings):
  settings = make_settings(method='kd_top_k', top_k=11)
  with pytest.raises(recipes.SettingsError, match=r'top_k=11: .* 10 classes'):
    recipes.prepare(settings)
