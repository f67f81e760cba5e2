"""Distillation from a cached teacher is distillation from a live one."""

import shutil

import jax
import numpy as np
import pytest
import small_experiments
from small_experiments import Observer

from kdjax import models, recipes, training
from kdjax.options import OptionError
from kdjax.training import teacher_cache

_VIEWS = 120 * 9  # transfer examples, shifts by at most a pixel


@pytest.fixture(scope='module')
def distil(wire, teacher_dir, tmp_path_factory):
  """Runs a distillation; returns its result and what its observer heard."""

  def run(workdir=None, stop_after=None, **changes):
    wired = wire(**{'teacher_checkpoint': str(teacher_dir), **changes})
    listener = Observer(stop_after)
    place = workdir or tmp_path_factory.mktemp('run')
    result = small_experiments.distil(wired, place, listener, scratch=False)
    return result, listener

  return run


def _refused(wired, words):
  with pytest.raises(OptionError, match=words) as caught:
    small_experiments.check(wired)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def _assert_same_metrics(one, other):
  mine, yours = (
    [values for values in listener.values if values[0] != 'teacher']
    for listener in (one, other)
  )
  assert len(mine) == len(yours) > 0
  for found, expected in zip(mine, yours, strict=True):
    assert found[:3] == expected[:3]
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, 1e-6, 1e-6),
      found[3:],
      expected[3:],
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
def test_losses_are_those_of_the_live_teacher(distil, changes):
  live = {**changes, 'teacher_cache': 'none'}
  (_, expected), (result, found) = distil(**live), distil(**changes)
  _assert_same_metrics(found, expected)
  assert 0 < result.cached.computed <= min(_VIEWS, result.cached.served)
  assert recipes.summarise(result, 1.0)['teacher_cache'] == {
    'computed': result.cached.computed,
    'served': result.cached.served,
  }


def test_a_second_method_and_seed_pay_nothing(distil, tmp_path):
  shared = {
    'teacher_cache': 'memory_map',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  first, _ = distil(**shared)
  second, _ = distil(**shared, method='dkd', seed=5)
  assert first.cached.computed > 0
  assert second.cached.computed == 0
  # What another method reads beside the logits is computed, and only that.
  third, _ = distil(**shared, method='rkd')
  names = {path.name.partition('-')[0] for path in tmp_path.rglob('*.values')}
  assert 'logits' in names
  assert len(names) == 2
  assert third.cached.computed == first.cached.computed


def test_resume_is_bitwise_though_the_device_forgets(distil, tmp_path):
  changes = {'teacher_cache': 'device', 'checkpoint_every': 1, 'epochs': 3}
  whole, _ = distil(**changes)
  with pytest.raises(training.Interrupted):
    distil(workdir=tmp_path, stop_after=('distilled', 2), **changes)
  resumed, _ = distil(workdir=tmp_path, **changes)
  assert 0 < resumed.cached.computed < whole.cached.computed
  jax.tree.map(
    np.testing.assert_array_equal,
    resumed.distilled.variables,
    whole.distilled.variables,
  )


@pytest.mark.parametrize(
  ('change', 'words'),
  [
    ({'augmentation': 'none'}, "its views is 'crop1', not 'none'"),
    ({'data_seed': 1}, 'its inputs is '),
    ({'transfer_examples': 100}, 'its examples is 120, not 100'),
    ({'teacher_cache': 'array_store', 'precision': 'bfloat16'}, 'precision'),
  ],
)
def test_a_stale_cache_is_refused_before_training(
  distil, wire, teacher_dir, tmp_path_factory, change, words
):
  place = str(tmp_path_factory.getbasetemp() / 'stale')
  kept = {'teacher_cache': 'memory_map', 'teacher_cache_dir': place}
  distil(**kept)
  # Also before there is a teacher.
  for checkpoint in (str(teacher_dir), None):
    wired = wire(**{**kept, 'teacher_checkpoint': checkpoint, **change})
    message = _refused(wired, words)
    assert message.startswith(f'teacher_cache_dir={place}: ')


def test_another_teacher_is_refused(distil, wire, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  small_experiments.train_teacher(wire(data_seed=3), other)
  place = str(tmp_path_factory.mktemp('shared') / 'cache')
  kept = {'teacher_cache': 'array_store', 'teacher_cache_dir': place}
  distil(**kept)
  wired = wire(**kept, teacher_checkpoint=str(other))
  _refused(wired, 'its teacher is ')
  # Also where nobody has checked before.
  with pytest.raises(OptionError, match='its teacher is '):
    distil(**kept, teacher_checkpoint=str(other))


def test_other_preprocessing_code_is_noticed(distil, tmp_path, monkeypatch):
  kept = {
    'teacher_cache': 'memory_map',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  distil(**kept)
  normalised = models.normalised

  def other_code(model, mean, std):
    changed = normalised(model, mean, [x / 1.01 for x in std])
    return changed._replace(note=normalised(model, mean, std).note)

  monkeypatch.setattr(models, 'normalised', other_code)
  with pytest.raises(OptionError, match='is stale: its outputs'):
    distil(**kept)


def test_a_method_that_reads_nothing_keeps_nothing(distil, tmp_path):
  result, _ = distil(
    workdir=tmp_path, teacher_cache='memory_map', method='label_smoothing'
  )
  assert result.cached is None
  assert not (tmp_path / 'teacher_cache').exists()


def test_a_full_disk_and_a_crowded_device_are_foreseen(
  wire, monkeypatch, tmp_path
):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    teacher_cache.shutil, 'disk_usage', lambda _: usage._replace(free=9000)
  )
  # Two epochs show 240 views at most, of 40 bytes.
  wired = wire(
    teacher_cache='memory_map', teacher_cache_dir=str(tmp_path / 'new')
  )
  message = _refused(wired, 'room for')
  assert message.startswith('teacher_cache=memory_map: logits')
  monkeypatch.undo()
  small_experiments.check(wired)
  monkeypatch.setattr(teacher_cache, '_LARGEST_ON_DEVICE', 4799)
  _refused(wired, 'needs --stream')


def test_places_that_cannot_be_written_to(wire, tmp_path):
  (tmp_path / 'file').write_text('')
  for place in (tmp_path / 'file', tmp_path / 'file' / 'below'):
    wired = wire(teacher_cache='array_store', teacher_cache_dir=str(place))
    _refused(wired, 'no directory')


def test_two_methods_with_best_classes_share_a_directory(distil, tmp_path):
  kept = {
    'teacher_cache': 'array_store',
    'teacher_cache_dir': str(tmp_path / 'cache'),
  }
  for changes in ({}, {'temperature': 2.0}, {'top_k': 3}):
    distil(**kept, **changes, method='kd,kd_top_k')
  names = {path.name for path in (tmp_path / 'cache').glob('top*.values.zarr')}
  assert names == {
    f'top_k_{what}-k{k}-t{t}-{dtype}.values.zarr'
    for what, dtype in (('indices', 'int32'), ('log_probs', 'float32'))
    for k, t in ((5, 4), (5, 2), (3, 4))
  }


def test_too_much_for_the_device_is_refused_with_its_size(wire, monkeypatch):
  """120 examples, 9 views and 10 logits of 4 or 2 bytes."""
  wired = wire(teacher_cache='device')
  monkeypatch.setattr(teacher_cache, '_LARGEST_ON_DEVICE', 43200)
  small_experiments.check(wired)
  monkeypatch.setattr(teacher_cache, '_LARGEST_ON_DEVICE', 43199)
  _refused(wired, r'logits would take 0\.0 GB')
  halved = wire(teacher_cache='device', teacher_cache_precision='bfloat16')
  small_experiments.check(halved)


def test_the_best_of_all_classes_are_soft_targets(distil):
  _, soft = distil(method='kd')
  _, best = distil(method='kd_top_k', top_k=10, teacher_cache='array_store')
  for mine, yours in zip(best.values, soft.values, strict=True):
    np.testing.assert_allclose(mine[3]['loss'], yours[3]['loss'], rtol=1e-5)
    np.testing.assert_allclose(mine[3]['top_k'], yours[3]['soft'], rtol=1e-5)
