"""Options say what is wrong with them."""

import dataclasses
import math

import pytest

from kdjax import methods, models, options, recipes, tasks, training
from kdjax.options import OptionError

_CLASSES = (
  tasks.Options,
  models.Options,
  methods.Options,
  recipes.Options,
  training.Budget,
  training.TeacherOptions,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Options(options.Options):
  prefix = 'my_'

  rate: float = options.option(1.0, 'A rate.', options.POSITIVE)
  name: str | None = options.option(None, 'A name.', options.one_of(['a', 'b']))
  free: int = options.option(-1, 'Whatever.')


def test_a_rule_names_option_value_and_what_is_allowed():
  with pytest.raises(OptionError) as caught:
    _Options(rate=-2.0)
  assert str(caught.value) == 'my_rate=-2.0: must be above 0 and finite'
  with pytest.raises(OptionError) as caught:
    _Options(name='c')
  assert str(caught.value) == 'my_name=c: must be one of a, b'
  assert isinstance(caught.value, ValueError)


def test_a_rule_does_not_apply_to_none_and_no_rule_allows_all():
  made = _Options(rate=None, free=-7)
  assert (made.rate, made.name, made.free) == (None, None, -7)


@pytest.mark.parametrize(
  ('rule', 'good', 'bad'),
  [
    (options.POSITIVE, (1e-9, 1, 5.5), (0, -1.0, math.inf, math.nan)),
    (options.NOT_NEGATIVE, (0, 0.5), (-1e-9, math.inf, math.nan)),
    (options.AT_LEAST_ONE, (1, 7), (0, -3)),
    (options.FRACTION, (0, 0.5, 1.0), (-0.01, 1.01, math.nan)),
    (options.one_of(('x', 'y')), ('x', 'y'), ('', 'z')),
  ],
)
def test_rules(rule, good, bad):
  assert all(rule.good(value) for value in good)
  assert not any(rule.good(value) for value in bad)
  assert rule.allowed.startswith('must be ')


@pytest.mark.parametrize('kind', _CLASSES)
def test_options_are_frozen_and_documented(kind):
  made = kind()
  for field in dataclasses.fields(kind):
    assert field.metadata['help'].endswith('.')
    with pytest.raises(dataclasses.FrozenInstanceError):
      setattr(made, field.name, None)
  # A flag of each: no two classes have a field of one name.
  names = [
    other.prefix + field.name
    for other in _CLASSES
    for field in dataclasses.fields(other)
  ]
  assert len(set(names)) == len(names)


@pytest.mark.parametrize(
  ('kind', 'field', 'value', 'allowed'),
  [
    (tasks.Options, 'augmentation', 'mixup', 'pad_crop_flip'),
    (tasks.Options, 'transfer_examples', -5, 'or more'),
    (models.Options, 'teacher', 'resnet9', 'resnet8'),
    (models.Options, 'student', 'vgg', 'mlp_student'),
    (models.Options, 'precision', 'float16', 'bfloat16'),
    (methods.Options, 'temperature', 0.0, 'above 0'),
    (methods.Options, 'temperature', math.nan, 'above 0'),
    (methods.Options, 'alpha', -0.01, '0 and 1'),
    (methods.Options, 'alpha', 1.01, '0 and 1'),
    (methods.Options, 'alpha', math.nan, '0 and 1'),
    (methods.Options, 'hint_weight', -1.0, '0 or more'),
    (methods.Options, 'hint_epochs', -1, 'or more'),
    (methods.Options, 'hint_epochs', 0, '1 or more'),
    (methods.Options, 'distance_weight', -1.0, '0 or more'),
    (methods.Options, 'angle_weight', math.inf, 'finite'),
    (methods.Options, 'top_k', 0, '1 or more'),
    (methods.Options, 'method', 'nosuch', 'kd, kd_top_k, dkd'),
    (methods.Options, 'method', '', 'must be one of'),
    (methods.Options, 'method', 'kd,kd', 'twice'),
    (recipes.Options, 'teacher_epochs', -1, 'or more'),
    (training.Budget, 'optimizer', 'lamb', 'adam'),
    (training.Budget, 'schedule', 'linear', 'cosine'),
    (training.Budget, 'learning_rate', -0.1, 'above 0'),
    (training.Budget, 'learning_rate', math.inf, 'finite'),
    (training.Budget, 'weight_decay', -1e-4, '0 or more'),
    (training.Budget, 'clip_norm', -1.0, '0 or more'),
    (training.Budget, 'batch_size', 0, '1 or more'),
    (training.Budget, 'seeds', 0, '1 or more'),
    (training.Budget, 'epochs', -1, 'or more'),
    (training.Budget, 'epochs', 0, '1 or more'),
    (training.Budget, 'checkpoint_every', -1, 'or more'),
    (training.Budget, 'seed', -1, '2**32'),
    (training.Budget, 'seed', 2**32 - 2, '2**32'),
    (training.Budget, 'seed', 2**32 - 5, '2**32'),
    (training.Budget, 'data_seed', -1, '2**32'),
    (training.TeacherOptions, 'batches', 0, '1 or more'),
    (training.TeacherOptions, 'cache', 'disk', 'memory_map, array_store'),
    (training.TeacherOptions, 'cache_precision', 'float16', 'bfloat16'),
    (
      training.TeacherOptions,
      'cache_precision',
      'bfloat16',
      'needs teacher_cache=device',
    ),
    (
      training.TeacherOptions,
      'cache_dir',
      'there',
      'needs teacher_cache=memory_map',
    ),
  ],
)
def test_errors_name_field_value_and_what_is_allowed(
  kind, field, value, allowed
):
  with pytest.raises(OptionError) as caught:
    kind(**{field: value})
  message = str(caught.value)
  assert message.startswith(f'{kind.prefix}{field}={value}')
  assert allowed in message.split(':', 1)[1]
  assert '\n' not in message


@pytest.mark.parametrize(
  ('kind', 'good'),
  [
    (methods.Options, {'alpha': 0.0}),
    (methods.Options, {'alpha': 1.0}),
    (methods.Options, {'hint_weight': 0.0}),
    (methods.Options, {'method': 'kd, rkd'}),
    (methods.Options, {'method': 'fitnets,hint,rkd,kd'}),
    (tasks.Options, {'transfer_examples': 0}),
    (training.Budget, {'weight_decay': 0.0, 'clip_norm': 0.0}),
    (training.Budget, {'seed': 2**32 - 6, 'seeds': 5}),
    (training.TeacherOptions, {'cache': 'device', 'cache_dir': None}),
    (
      training.TeacherOptions,
      {'cache': 'array_store', 'cache_precision': 'bfloat16'},
    ),
  ],
)
def test_the_edges_are_allowed(kind, good):
  made = kind(**good)
  assert {name: getattr(made, name) for name in good} == good


def test_a_directory_is_for_caches_on_disk():
  with pytest.raises(OptionError, match='it is device'):
    training.TeacherOptions(cache='device', cache_dir='there')
  training.TeacherOptions(cache='memory_map', cache_dir='there')
