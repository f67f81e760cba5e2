"""What `--set` may say: names, kinds and ranges of values."""

import inspect

import pytest

from kdjax import methods, transforms
from kdjax.methods import table
from kdjax.options import OptionError

# The only methods whose papers and transforms leave nothing to choose.
_NOTHING_TO_SET = ('ofd', 'deit')
# Arguments of transforms that do not say how to teach.
_NO_HYPERPARAMETERS = {
  *('mask', 'ignore', 'examples'),
  *('student_logits', 'teacher_logits'),
}


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    ('2', 2),
    ('-0.5', -0.5),
    ('1e-3', 0.001),
    ('True', True),
    ('false', False),
    ('None', None),
    ('none', None),
    ('stage1', 'stage1'),
    ('stage1/preactivation', 'stage1/preactivation'),
    ('stage1+stage2', ('stage1', 'stage2')),
    ('block1/query+block1/key', ('block1/query', 'block1/key')),
    ('4+2+1', (4, 2, 1)),
    ('0.5+1', (0.5, 1)),
  ],
)
def test_kinds_of_values(text, value):
  found = table._value(text)
  assert found == value
  assert type(found) is type(value)


def _refused(method, text):
  with pytest.raises(OptionError) as caught:
    methods.Options(method=method, set=text)
  message = str(caught.value)
  assert '\n' not in message
  return message


@pytest.mark.parametrize(
  ('text', 'near'),
  [
    ('dkd.beat=2', 'beta'),
    ('dkd.temp=2', 'temperature'),
    ('dkd.ramp=2', 'ramp_epochs'),
  ],
)
def test_a_wrong_name_gets_the_nearest_and_the_list(text, near):
  message = _refused('kd,dkd', text)
  assert message == (
    f'set={text}: did you mean {near}? dkd has temperature, ramp_epochs, '
    'alpha, beta'
  )


def test_a_name_that_is_near_to_none_gets_the_list():
  message = _refused('kd', 'kd.xyz=2')
  assert message == 'set=kd.xyz=2: kd has alpha, temperature'
  assert _refused('ofd', 'ofd.x=1') == 'set=ofd.x=1: ofd has no hyperparameters'


def test_a_method_that_is_not_asked_for():
  message = _refused('kd,rkd', 'kd.alpha=0.5,dkd.beta=2')
  assert message == ('set=dkd.beta=2: must begin with one of --method, kd, rkd')


@pytest.mark.parametrize(
  'text', ['beta=2', 'dkd.beta', 'dkd.=2', 'dkd', '=2', 'dkd.beta=', '.=']
)
def test_malformed_parts(text):
  message = _refused('dkd', text)
  assert message == f'set={text}: must be METHOD.NAME=VALUE'


@pytest.mark.parametrize(
  ('method', 'text', 'allowed'),
  [
    ('kd', 'kd.alpha=1.5', 'must be within 0 and 1'),
    ('kd', 'kd.alpha=high', 'must be a number'),
    ('kd', 'kd.temperature=0', 'must be above 0'),
    ('kd', 'kd.temperature=None', 'must be a number'),
    ('hint', 'hint.weight=-1', 'must be 0 or more'),
    ('hint', 'hint.batch_norm=maybe', 'must be True or False'),
    ('hint', 'hint.batch_norm=0', 'must be True or False'),
    ('hint', 'hint.student=stage1+stage2', 'must be a name'),
    ('at', 'at.student=3', 'must be a name or several with +'),
    ('rkd', 'rkd.angle_weight=nan', 'must be a number'),
    ('rkd', 'rkd.angle_weight=1e400', 'must be 0 or more, finite'),
    ('dkd', 'dkd.ramp_epochs=0', 'must be 1 or more'),
    ('dkd', 'dkd.ramp_epochs=2.5', 'must be an integer'),
    ('kd_top_k', 'kd_top_k.k=0', 'must be 1 or more'),
    ('kd_top_k', 'kd_top_k.k=2.5', 'must be an integer'),
    ('taid', 'taid.steps=0', 'must be 1 or more'),
    ('crd', 'crd.negatives=2.5', 'must be an integer'),
  ],
)
def test_values_of_another_kind_or_out_of_range(method, text, allowed):
  message = _refused(method, text)
  assert message.startswith(f'set={text}: {allowed}')


def _said(method, text):
  """The error that a value gives; None for a good value."""
  try:
    methods.Options(method=method, set=text)
  except OptionError as error:
    return str(error)
  return ''


@pytest.mark.parametrize('method', methods.NAMES)
def test_every_method_knows_its_own_hyperparameters(method):
  """What its function and its transforms take by keyword, and nothing else."""
  found = table._METHODS[method].hyperparameters()
  if method in _NOTHING_TO_SET:
    assert not found
    return
  assert found
  assert not _NO_HYPERPARAMETERS & set(found)
  for name in found:
    assert 'has ' not in _said(method, f'{method}.{name}=2')
  assert 'has ' in _said(method, f'{method}.no_such=2')


@pytest.mark.parametrize('method', methods.NAMES)
def test_the_usual_values_can_be_set(method):
  """A default, where there is a number, is a value that may be set."""
  known = table._METHODS[method].hyperparameters()
  usual = {
    name: parameter.default
    for name, parameter in known.items()
    if isinstance(parameter.default, int | float)
  }
  text = ','.join(f'{method}.{name}={x}' for name, x in usual.items())
  methods.Options(method=method, set=text)


@pytest.mark.parametrize(
  ('function', 'names'),
  [
    (transforms.soft_targets, ('kd', 'fitnets')),
    (transforms.decoupled, ('dkd',)),
    (transforms.normalised_soft_targets, ('nkd',)),
    (transforms.factor_transfer, ('ft',)),
    (transforms.contrastive_representation, ('crd',)),
  ],
)
def test_all_that_a_transform_takes_can_be_set(function, names):
  wanted = set(inspect.signature(function).parameters)
  wanted -= _NO_HYPERPARAMETERS
  for name in names:
    assert wanted <= set(table._METHODS[name].hyperparameters())
