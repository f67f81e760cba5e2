"""Losses of one's own, bound to outputs; what bound factories say of them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import transforms

_STUDENT = {'logits': jnp.array([[1.0, 0.0], [3.0, 1.0]])}
_TEACHER = {'logits': jnp.array([[0.0, 0.0], [1.0, 5.0]])}


def _gap(student_logits, teacher_logits, *, power=2.0):
  """A loss that nobody decorated."""
  return jnp.sum(jnp.abs(student_logits - teacher_logits) ** power, axis=-1)


def _value(term, step=0, **batch):
  variables = term.init(jax.random.key(0), _STUDENT, _TEACHER)
  value, _, _ = term.apply(variables, _STUDENT, _TEACHER, batch, step)
  return float(value)


def test_a_loss_of_ones_own():
  # (1 + 0 + 4 + 16) / 2
  assert _value(transforms.of_logits(_gap)) == 10.5


def test_answers_of_other_names():
  student = {'logits': _STUDENT['logits'], 'token': jnp.zeros((2, 2))}
  term = transforms.of_logits(_gap, student_logits='token')
  variables = term.init(jax.random.key(0), student, _TEACHER)
  value, _, _ = term.apply(variables, student, _TEACHER, {}, 0)
  # (0 + 0 + 1 + 25) / 2
  assert float(value) == 13.0
  term = transforms.labels(student_logits='token')
  variables = term.init(jax.random.key(0), student, {})
  batch = {'label': jnp.array([0, 1])}
  value, _, _ = term.apply(variables, student, {}, batch, 0)
  assert float(value) == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize(
  'term',
  [
    transforms.soft_targets(student_logits='token'),
    transforms.labels(student_logits='token'),
  ],
)
def test_an_answer_that_is_not_there(term):
  with pytest.raises(
    transforms.UnknownTapError, match="student has no output 'token'"
  ):
    term.init(jax.random.key(0), _STUDENT, _TEACHER)


def test_its_hyperparameters_may_be_schedules():
  term = transforms.of_logits(_gap, power=optax.linear_schedule(1.0, 2.0, 1))
  assert _value(term, step=0) == 3.5
  assert _value(term, step=1) == 10.5


def test_positions_are_left_out():
  term = transforms.of_logits(_gap, mask='valid')
  assert _value(term, valid=jnp.array([1, 0])) == 1.0


def test_padding_counts_nothing():
  term = transforms.of_logits(_gap)
  assert _value(term, weight=jnp.array([2.0, 0.0])) == 1.0


def test_labels_are_handed_over_by_name():
  def of_labels(student_logits, labels):
    return student_logits[jnp.arange(len(labels)), labels]

  term = transforms.of_logits(of_labels)
  assert _value(term, label=jnp.array([1, 0])) == 1.5
  # It needs no teacher.
  term.init(jax.random.key(0), _STUDENT, {})


def test_a_coupled_loss_of_ones_own():
  def spread(student, teacher, *, mask, weight=1.0):
    del teacher
    keep = jnp.ones(len(student)) if mask is None else mask
    return weight * jnp.sum(keep[:, None] * student)

  taps = {'student': 'logits', 'teacher': 'logits'}
  term = transforms.of_embeddings(spread, **taps, weight=2.0)
  assert _value(term) == 10.0
  assert _value(term, weight=jnp.array([1.0, 0.0])) == 2.0


def test_unknown_and_missing_keywords_name_the_factory():
  with pytest.raises(TypeError, match=r'skew_kl: .*tempratur'):
    transforms.skew_kl(tempratur=2)
  with pytest.raises(TypeError, match=r'interpolated_targets: .*progress'):
    transforms.interpolated_targets()


@pytest.mark.parametrize(
  ('factory', 'keywords'),
  [
    (
      transforms.soft_targets,
      {
        'temperature': 4.0,
        'student_logits': 'logits',
        'teacher_logits': 'logits',
        'mask': None,
      },
    ),
    (
      transforms.weighted_soft_labels,
      {
        'temperature': 2.0,
        'student_logits': 'logits',
        'teacher_logits': 'logits',
        'mask': None,
        'ignore': None,
      },
    ),
    (
      transforms.label_smoothing,
      {
        'smoothing': 0.1,
        'over_other_classes': False,
        'student_logits': 'logits',
        'mask': None,
        'ignore': None,
      },
    ),
    (transforms.similarity_preserving, {'student': None, 'teacher': None}),
    (
      transforms.rbf_cka,
      {'bandwidth': 1.0, 'student': 'embedding', 'teacher': 'embedding'},
    ),
  ],
  ids=lambda x: getattr(x, '__name__', ''),
)
def test_a_factory_shows_its_keywords(factory, keywords):
  parameters = inspect.signature(factory).parameters
  assert list(parameters) == list(keywords)
  for name, default in keywords.items():
    if default is not None:
      assert parameters[name].default == default
    assert f'\n  {name}: ' in inspect.getdoc(factory)


def test_the_value_is_the_losses_mean_in_numpy():
  s, t = (np.asarray(x['logits'], np.float64) for x in (_STUDENT, _TEACHER))
  p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (t, s))
  by_hand = (p * np.log(p / (0.1 * p + 0.9 * q))).sum(1).mean()
  np.testing.assert_allclose(
    _value(transforms.skew_kl()), by_hand, rtol=0, atol=1e-6
  )
