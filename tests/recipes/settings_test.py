"""Settings say what is wrong with them, and fill in what is missing."""

import math

import pytest

from kdjax import recipes


@pytest.mark.parametrize(
  ('field', 'value', 'allowed'),
  [
    ('teacher', 'resnet9', 'resnet8'),
    ('student', 'vgg', 'mlp_student'),
    ('augmentation', 'mixup', 'pad_crop_flip'),
    ('optimizer', 'lamb', 'adam'),
    ('schedule', 'linear', 'cosine'),
    ('precision', 'float16', 'bfloat16'),
    ('temperature', 0.0, 'above 0'),
    ('temperature', math.nan, 'above 0'),
    ('learning_rate', -0.1, 'above 0'),
    ('learning_rate', math.inf, 'finite'),
    ('alpha', -0.01, '0 and 1'),
    ('alpha', 1.01, '0 and 1'),
    ('alpha', math.nan, '0 and 1'),
    ('hint_weight', -1.0, '0 or more'),
    ('distance_weight', -1.0, '0 or more'),
    ('angle_weight', math.inf, 'finite'),
    ('weight_decay', -1e-4, '0 or more'),
    ('clip_norm', -1.0, '0 or more'),
    ('transfer_examples', -5, 'or more'),
    ('batch_size', 0, '1 or more'),
    ('seeds', 0, '1 or more'),
    ('epochs', -1, 'or more'),
    ('teacher_epochs', -1, 'or more'),
    ('hint_epochs', -1, 'or more'),
    ('checkpoint_every', -1, 'or more'),
    ('seed', -1, '2**32'),
    ('seed', 2**32 - 2, '2**32'),
    ('data_seed', -1, '2**32'),
    ('method', 'nosuch', 'kd, kd_top_k, dkd'),
    ('method', '', 'must be one of'),
    ('method', 'kd,kd', 'twice'),
    ('top_k', 0, '1 or more'),
    ('teacher_batches', 0, '1 or more'),
    ('teacher_cache', 'disk', 'memory_map, array_store'),
    ('teacher_cache_precision', 'float16', 'bfloat16'),
    ('teacher_cache_precision', 'bfloat16', 'needs teacher_cache=device'),
    ('teacher_cache_dir', 'there', 'needs teacher_cache=memory_map'),
  ],
)
def test_errors_name_field_value_and_what_is_allowed(field, value, allowed):
  with pytest.raises(recipes.SettingsError) as caught:
    recipes.Settings(**{field: value})
  message = str(caught.value)
  assert message.startswith(f'{field}={value}')
  assert allowed in message.split(':', 1)[1]
  assert '\n' not in message


@pytest.mark.parametrize(
  'good',
  [
    {'alpha': 0.0},
    {'alpha': 1.0},
    {'weight_decay': 0.0, 'clip_norm': 0.0, 'hint_weight': 0.0},
    {'transfer_examples': 0},
    {'seed': 2**32 - 6, 'seeds': 5},
    {'method': 'kd, rkd'},
    {'method': 'fitnets,hint,rkd,kd'},
  ],
)
def test_the_edges_are_allowed(good):
  recipes.Settings(**good)


def test_methods_are_split_at_commas():
  assert recipes.Settings(method='kd, rkd').methods == ('kd', 'rkd')


def _names(settings):
  return settings.teacher, settings.student, settings.augmentation


def test_defaults_of_digits():
  settings = recipes.Settings().resolved(1200)
  assert _names(settings) == ('mlp_teacher', 'mlp_student', 'shift')
  assert settings.transfer_examples == 120
  # 1500 steps at 2 batches of 64 for the students, 19 for the teacher.
  assert settings.epochs == 750
  assert settings.teacher_epochs == 79
  assert settings.hint_epochs == 187


def test_defaults_of_other_data():
  settings = recipes.Settings(dataset='cifar10').resolved(50_000)
  assert _names(settings) == ('resnet20', 'resnet8', 'pad_crop_flip')
  assert settings.transfer_examples == 50_000
  assert settings.epochs == settings.teacher_epochs == 2


def test_what_is_given_stays():
  given = {
    'teacher': 'resnet14',
    'student': 'cnn_student',
    'augmentation': 'none',
    'transfer_examples': 100,
    'epochs': 8,
    'teacher_epochs': 3,
    'hint_epochs': 5,
  }
  settings = recipes.Settings(**given).resolved(1200)
  assert {name: getattr(settings, name) for name in given} == given


def test_the_teachers_epochs_follow_the_students():
  settings = recipes.Settings(epochs=8).resolved(1200)
  assert settings.teacher_epochs == 8
  assert settings.hint_epochs == 2


def test_no_transfer_examples_are_all():
  settings = recipes.Settings(transfer_examples=0).resolved(1200)
  assert settings.transfer_examples == 1200


def test_resolving_twice_changes_nothing():
  once = recipes.Settings(dataset='cifar10').resolved(50_000)
  assert once.resolved(50_000) == once


def test_transfer_examples_must_be_there():
  with pytest.raises(recipes.SettingsError, match=r'transfer_examples=1201: '):
    recipes.Settings(transfer_examples=1201).resolved(1200)


@pytest.mark.parametrize(('epochs', 'hint_epochs'), [(1, 0), (4, 4), (4, 9)])
def test_the_hint_stage_leaves_an_epoch(epochs, hint_epochs):
  settings = recipes.Settings(
    method='fitnets', epochs=epochs, hint_epochs=hint_epochs
  )
  with pytest.raises(recipes.SettingsError, match=r'hint_epochs=.*epochs='):
    settings.resolved(1200)
  recipes.Settings(epochs=epochs, hint_epochs=hint_epochs).resolved(1200)
