"""Methods by name, and their hyperparameters by `--set`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_pairs
from small_pairs import terms

from kdjax import methods, models, transforms
from kdjax.options import OptionError


def _stage(method, **asked):
  """The last stage of a method."""
  return methods.named(method, **asked).stages(small_pairs.pair())[-1]


def _log_softmax(outputs, temperature):
  logits = np.float64(outputs['logits']) / temperature
  return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _soft_targets(temperature):
  """Hinton's term of the small pair, in float64."""
  log_p = _log_softmax(small_pairs.teacher_outputs(), temperature)
  log_q = _log_softmax(small_pairs.student_outputs(), temperature)
  divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
  return temperature**2 * divergence


def _decoupled(alpha, beta, temperature):
  """Equation 7 of Zhao et al. 2022, example by example, in float64."""
  p = np.exp(_log_softmax(small_pairs.teacher_outputs(), temperature))
  q = np.exp(_log_softmax(small_pairs.student_outputs(), temperature))
  losses = []
  for example in range(4):
    label = example % 3
    others = [c for c in range(3) if c != label]
    pt, qt = p[example, label], q[example, label]
    target = pt * np.log(pt / qt) + (1 - pt) * np.log((1 - pt) / (1 - qt))
    ph, qh = p[example, others] / (1 - pt), q[example, others] / (1 - qt)
    rest = (ph * np.log(ph / qh)).sum()
    losses.append(alpha * target + beta * rest)
  return temperature**2 * np.mean(losses)


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', (1.0, 8.0, 4.0)),
    ('dkd.beta=2', (1.0, 2.0, 4.0)),
    ('dkd.beta=2.5, dkd.alpha=0.5', (0.5, 2.5, 4.0)),
    ('dkd.temperature=2', (1.0, 8.0, 2.0)),
    # Spaces and spare commas do no harm.
    ('dkd.beta=2,', (1.0, 2.0, 4.0)),
    (',dkd.beta=2', (1.0, 2.0, 4.0)),
    (' dkd.beta = 2 ', (1.0, 2.0, 4.0)),
  ],
)
def test_set_values_reach_the_loss(text, expected):
  found = terms(_stage('dkd', set=text))[1]['dkd']
  assert found == pytest.approx(_decoupled(*expected), rel=1e-4)


@pytest.mark.parametrize(
  ('asked', 'temperature'),
  [
    ({}, 4.0),
    ({'temperature': 3.0}, 3.0),
    ({'temperature': 3.0, 'set': 'kd.temperature=2'}, 2.0),
  ],
)
def test_a_set_temperature_beats_that_of_all(asked, temperature):
  found = terms(_stage('kd', **asked))[1]['soft']
  assert found == pytest.approx(_soft_targets(temperature), rel=1e-4)


def test_the_temperature_of_all_is_not_that_of_papers_with_their_own():
  """Standardised logits are softened by 2 whatever the flag says."""
  values = {
    temperature: terms(_stage('ls', temperature=temperature))[1]['ls']
    for temperature in (1.0, 4.0)
  }
  assert values[1.0] == values[4.0]
  set_ = terms(_stage('ls', set='ls.temperature=3'))[1]['ls']
  assert abs(set_ - values[1.0]) > 1e-3


def test_a_value_is_set_for_one_method_of_several():
  found = terms(
    _stage('kd,dkd', temperature=3.0, set='dkd.temperature=2,dkd.beta=1')
  )[1]
  assert found['soft'] == pytest.approx(_soft_targets(3.0), rel=1e-4)
  assert found['dkd'] == pytest.approx(_decoupled(1.0, 1.0, 2.0), rel=1e-4)


def test_a_set_alpha_is_the_weight_of_the_labels():
  for asked in ({'alpha': 0.3}, {'set': 'kd.alpha=0.3'}):
    value, found, _ = terms(_stage('kd', **asked))
    expected = 0.3 * found['labels'] + 0.7 * found['soft']
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
  ('method', 'flag', 'text'),
  [
    ('rkd', {'angle_weight': 3.0}, 'rkd.angle_weight=3'),
    ('rkd', {'distance_weight': 0.5}, 'rkd.distance_weight=0.5'),
    ('hint', {'hint_weight': 2.0}, 'hint.weight=2'),
    ('hint', {'hint_teacher': 'stage3'}, 'hint.teacher=stage3'),
    ('hint', {'hint_student': 'logits'}, 'hint.student=logits'),
  ],
)
def test_short_flags_set_the_same(method, flag, text):
  usual = terms(_stage(method))[0]
  short = terms(_stage(method, **flag))[0]
  assert short == terms(_stage(method, set=text))[0] != usual
  # Where both are given, the longer one is meant.
  other = {name: 9.0 for name in flag if name.endswith('weight')}
  assert short == terms(_stage(method, set=text, **other))[0]


def test_the_first_stage_takes_its_own():
  method = methods.named('fitnets', set='fitnets.weight=3,fitnets.alpha=0.4')
  hint, last = method.stages(small_pairs.pair())
  value, found, _ = terms(hint)
  assert value == pytest.approx(3 * found['hint'], rel=1e-5)
  value, found, _ = terms(last)
  expected = 0.4 * found['labels'] + 0.6 * found['soft']
  assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('asked', [{'top_k': 2}, {'set': 'kd_top_k.k=2'}])
def test_the_number_of_best_classes_reaches_the_teacher(asked):
  plain = models.from_function(lambda params, x: x @ params, jnp.eye(6))
  method = methods.named('kd_top_k', temperature=3.0, **asked)
  teacher = method.teacher(plain)
  assert teacher.note['top_k'] == {'k': 2, 'temperature': 3.0}
  method = methods.named(
    'kd_top_k', temperature=3.0, set='kd_top_k.temperature=2'
  )
  assert method.teacher(plain).note['top_k'] == {'k': 5, 'temperature': 2}
  # Other methods leave the teacher alone.
  assert methods.named('kd').teacher(plain) is plain


@pytest.mark.parametrize(
  ('text', 'step', 'weight'),
  [('', 20, 0.5), ('dkd.ramp_epochs=5', 5, 0.5), ('dkd.ramp_epochs=5', 10, 1)],
)
def test_a_length_in_epochs(text, step, weight):
  """Epochs of two steps."""
  value, found, _ = terms(_stage('dkd', set=text), step)
  assert value == pytest.approx(found['labels'] + weight * found['dkd'])


def test_names_of_several_layers_reach_the_loss():
  """Networks of one's own need no layers of the usual names."""
  student = {'a': (4, 2, 2, 3), 'b': (4, 2, 2, 5), 'logits': (4, 3)}
  teacher = {'c': (4, 2, 2, 7), 'd': (4, 2, 2, 1)}
  pair = small_pairs.pair(
    student=small_pairs.shapes(student), teacher=small_pairs.shapes(teacher)
  )
  asked = methods.named('at', set='at.student=a+b,at.teacher=d+c')
  (stage,) = asked.stages(pair)
  student = small_pairs.outputs(student, 0)
  teacher = small_pairs.outputs(teacher, 1)
  variables = stage.loss.init(jax.random.key(0), student, teacher)
  batch = {'label': jnp.zeros(4, jnp.int32), 'weight': jnp.ones(4)}
  _, _, found = stage.loss.apply(
    variables, student, teacher, batch, jnp.int32(0)
  )

  def attention(x):
    energy = (np.float64(x) ** 2).mean(axis=-1).reshape(4, -1)
    return energy / np.sqrt((energy**2).sum(axis=1, keepdims=True))

  expected = sum(
    ((attention(student[a]) - attention(teacher[b])) ** 2).mean()
    for a, b in (('a', 'd'), ('b', 'c'))
  )
  assert float(found['at']) == pytest.approx(expected, rel=1e-4)
  # Half a choice is completed with the usual layers, which must be there.
  with pytest.raises(OptionError, match="must have outputs named 'stage1'"):
    methods.named('at', set='at.student=a+b').stages(pair)


@pytest.mark.parametrize(
  'method',
  [
    'hint',
    'fitnets',
    'at',
    'nst',
    'nst_linear',
    'nst_gaussian',
    'fsp',
    'ft',
    'ab',
    'review',
    'cwd',
    'pkd',
    'ickd',
    'vid',
    'mgd',
    'sp',
  ],
)
def test_layers_of_any_name(method):
  maps = {'a': (4, 2, 2, 6), 'b': (4, 2, 2, 6), 'logits': (4, 3)}
  pair = small_pairs.pair(
    student=small_pairs.shapes(maps), teacher=small_pairs.shapes(maps)
  )
  names = 'a+b' if method in ('fsp', 'review', 'vid') else 'b'
  text = ','.join(f'{method}.{n}={names}' for n in ('student', 'teacher'))
  assert methods.named(method, set=text).stages(pair)
  with pytest.raises(OptionError, match='stage'):
    methods.named(method).stages(pair)


def test_fsp_needs_two_layers():
  with pytest.raises(OptionError, match='method=fsp: needs networks of two'):
    methods.named('fsp').stages(small_pairs.pair())
  set_ = 'fsp.student=stage1,fsp.teacher=stage1'
  with pytest.raises(OptionError, match='method=fsp: needs networks of two'):
    methods.named('fsp', set=set_).stages(small_pairs.pair())


@pytest.mark.parametrize(
  ('text', 'batch_norm'),
  [
    ('', True),
    ('hint.batch_norm=false', False),
    ('hint.batch_norm=True', True),
  ],
)
def test_booleans_reach_the_loss(text, batch_norm):
  _, _, variables = terms(_stage('hint', set=text))
  assert bool(variables.state['hint']) == batch_norm


@pytest.mark.parametrize(
  ('method', 'text', 'words'),
  [
    ('dkd', 'dkd.beta=-1', 'beta must be 0 or above, got -1'),
    ('dkd', 'dkd.beta=high', "beta must be a number 0 or above, got 'high'"),
    ('crd', 'crd.negatives=-4', 'negatives must be an integer of 1 or more'),
  ],
)
def test_what_the_loss_itself_refuses(method, text, words):
  with pytest.raises(OptionError, match=words) as caught:
    _stage(method, set=text)
  assert str(caught.value).startswith(f'set={text}: ')


@pytest.mark.parametrize(
  ('weights', 'words'),
  [
    ('soft', 'NAME=VALUE'),
    ('soft=', 'NAME=VALUE'),
    ('soft=-1', '0 or more'),
    ('soft=nan', '0 or more'),
    ('soft=inf', 'finite'),
  ],
)
def test_malformed_weights(weights, words):
  with pytest.raises(OptionError, match=words) as caught:
    methods.Options(weights=weights)
  assert str(caught.value).startswith(f'weights={weights}: ')


def test_weights_of_terms_that_the_method_does_not_have():
  with pytest.raises(OptionError, match=r'weights=dkd: must name labels, soft'):
    _stage('kd', weights='dkd=1')


def test_an_unknown_layer_is_blamed_on_what_named_it():
  with pytest.raises(OptionError, match=r'^set=hint.student=x: x must be one'):
    _stage('hint', set='hint.student=x')
  with pytest.raises(OptionError, match=r'^hint_teacher=y: must be one of emb'):
    _stage('hint', hint_teacher='y')
  bare = small_pairs.pair(teacher=small_pairs.shapes({'stage1': (4, 8)}))
  with pytest.raises(OptionError, match=r'^method=rkd: the teacher has no emb'):
    methods.named('rkd').stages(bare)


def test_a_loss_of_ones_own_is_a_method():
  loss = transforms.soft_targets(temperature=2.0)
  method = methods.of_loss(loss, 'mine')
  assert method.name == 'mine'
  assert methods.of_loss(loss).name == 'loss'
  (stage,) = method.stages(small_pairs.pair(epochs=5))
  assert stage == methods.Stage('distilled', loss, 5)
  plain = models.from_function(lambda params, x: x @ params, jnp.eye(2))
  assert method.teacher(plain) is plain
  assert method.student(plain, None, {}, {}) is plain


def test_names():
  assert methods.named('kd, rkd').name == 'kd,rkd'
  with pytest.raises(OptionError, match=r'method=kdd: must be one of kd, '):
    methods.named('kd,kdd')
  with pytest.raises(OptionError, match='twice'):
    methods.named('kd, kd')
