"""What can be checked before training is, in one line."""

import numpy as np
import pytest

from kdjax import data, recipes


def _refused(settings, *words):
  with pytest.raises(recipes.SettingsError) as caught:
    recipes.prepare(settings)
  message = str(caught.value)
  assert '\n' not in message
  for word in words:
    assert word in message
  return message


def test_prepare_resolves_the_settings(make_settings):
  settings, dataset, source = recipes.prepare(make_settings(method='fitnets'))
  assert settings.transfer_examples == 120
  assert settings.augmentation == 'shift'
  assert (dataset.name, dataset.classes) == ('digits', 10)
  assert source is not None
  assert np.bincount(source.labels()).tolist() == [12] * 10


def test_a_teacher_alone_has_no_transfer_set(make_settings):
  assert recipes.prepare_teacher(make_settings()).source is None


def test_the_devices_divide_the_batch(make_settings):
  message = _refused(make_settings(batch_size=12), '8 devices')
  assert message.startswith('batch_size=12: ')


def test_unknown_data(make_settings):
  with pytest.raises((recipes.SettingsError, data.DataError)) as caught:
    recipes.prepare(make_settings(dataset='digitz'))
  assert 'digitz' in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('network', ['student', 'teacher'])
def test_unknown_taps_list_the_known(make_settings, network):
  name = f'hint_{network}'
  message = _refused(
    make_settings(method='fitnets', **{name: 'stage9'}), 'stage1', 'logits'
  )
  assert message.startswith(f'{name}=stage9: ')


def test_taps_of_different_rank_do_not_fit(make_settings):
  settings = make_settings(method='hint', student='cnn_student')
  assert _refused(settings, 'rank').startswith('method=hint: ')


def test_more_transfer_examples_than_there_are(make_settings):
  message = _refused(make_settings(transfer_examples=1201), '1200')
  assert message.startswith('transfer_examples=1201: ')


@pytest.mark.parametrize('inner', ['', 'teacher'])
def test_a_teacher_can_be_reused(make_settings, teacher_dir, inner):
  settings = make_settings(teacher_checkpoint=str(teacher_dir / inner))
  experiment = recipes.prepare(settings)
  assert experiment.settings.teacher_checkpoint == str(teacher_dir / inner)


def test_another_teacher_is_refused(make_settings, teacher_dir):
  settings = make_settings(
    teacher='mlp_teacher', teacher_checkpoint=str(teacher_dir)
  )
  message = _refused(settings, 'mlp_teacher', 'mlp_student')
  assert message.startswith('teacher_checkpoint=')


@pytest.mark.parametrize(
  ('field', 'value', 'word'),
  [('classes', 7, 'classes'), ('image_shape', (9, 9, 1), 'image_shape')],
)
def test_a_teacher_of_other_data_is_refused(
  make_settings, teacher_dir, monkeypatch, field, value, word
):
  load = data.load
  monkeypatch.setattr(
    data, 'load', lambda *args: load(*args)._replace(**{field: value})
  )
  settings = make_settings(teacher_checkpoint=str(teacher_dir))
  message = _refused(settings, word)
  assert message.startswith('teacher_checkpoint=')


def test_no_teacher_there(make_settings, tmp_path):
  settings = make_settings(teacher_checkpoint=str(tmp_path / 'none'))
  message = _refused(settings, 'no checkpoint')
  assert message.startswith('teacher_checkpoint=')


def test_a_training_checkpoint_is_no_teacher(make_settings, teacher_dir):
  directory = teacher_dir / 'checkpoints' / 'teacher'
  settings = make_settings(teacher_checkpoint=str(directory))
  message = _refused(settings, 'another network')
  assert message.startswith('teacher_checkpoint=')
