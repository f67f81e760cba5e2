"""DeiT's methods against their equations, in NumPy and float64."""

import jax
import numpy as np
import pytest
import small_pairs

from kdjax import methods
from kdjax.options import OptionError

_LABELS = np.arange(4, dtype=np.int32) % 3
_SHAPES = {
  name: (4, 3) for name in ('logits', 'class_logits', 'distillation_logits')
}


def _outputs():
  """Of a student, whose answer is the mean of its heads, and a teacher."""
  student = small_pairs.outputs(_SHAPES, 0)
  heads = student['class_logits'], student['distillation_logits']
  student['logits'] = (heads[0] + heads[1]) / 2
  return student, small_pairs.outputs({'logits': (4, 3)}, 1)


def _loss(method, class_weights=None, **asked):
  """The value and the terms of the method."""
  student, teacher = _outputs()
  pair = small_pairs.pair(
    student=student, teacher=teacher, class_weights=class_weights
  )
  (stage,) = methods.named(method, **asked).stages(pair)
  variables = stage.loss.init(jax.random.key(0), student, teacher)
  value, _, metrics = jax.jit(stage.loss.apply)(
    variables, student, teacher, {'label': _LABELS}, 0
  )
  return float(value), metrics


def _log_softmax(x, temperature=1.0):
  x = np.asarray(x, np.float64) / temperature
  return x - np.log(np.exp(x).sum(1, keepdims=True))


def _cross_entropy(logits, labels):
  return -_log_softmax(logits)[np.arange(4), labels].mean()


def _divergence(student, teacher, temperature):
  log_p, log_q = (_log_softmax(x, temperature) for x in (teacher, student))
  return (np.exp(log_p) * (log_p - log_q)).sum(1).mean()


def test_equation_3_halves_labels_and_hard_targets():
  student, teacher = _outputs()
  best = np.asarray(teacher['logits']).argmax(1)
  assert (best != _LABELS).any()
  by_labels = _cross_entropy(student['class_logits'], _LABELS)
  by_teacher = _cross_entropy(student['distillation_logits'], best)
  value, metrics = _loss('deit')
  assert value == pytest.approx((by_labels + by_teacher) / 2, rel=1e-5)
  assert metrics['class_token'] == pytest.approx(by_labels, rel=1e-5)
  assert metrics['deit'] == pytest.approx(by_teacher, rel=1e-5)


@pytest.mark.parametrize(
  ('asked', 'share', 'temperature'),
  [
    ({}, 0.1, 3.0),
    (
      {
        'set': 'deit_soft.temperature=2',
        'weights': 'class_token=0.5,deit_soft=0.5',
      },
      0.5,
      2.0,
    ),
  ],
)
def test_equation_2_mixes_labels_and_soft_targets(asked, share, temperature):
  student, teacher = _outputs()
  by_labels = _cross_entropy(student['class_logits'], _LABELS)
  by_teacher = temperature**2 * _divergence(
    student['distillation_logits'], teacher['logits'], temperature
  )
  expected = (1 - share) * by_labels + share * by_teacher
  value, _ = _loss('deit_soft', **asked)
  assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('method', ['deit', 'deit_soft'])
def test_class_weights_reach_the_class_token(method):
  student, _ = _outputs()
  weights = np.array([0.5, 2.0, 3.0])
  each = -_log_softmax(student['class_logits'])[np.arange(4), _LABELS]
  _, metrics = _loss(method, class_weights=tuple(weights))
  expected = (weights[_LABELS] * each).mean()
  assert metrics['class_token'] == pytest.approx(expected, rel=1e-5)


def test_the_method_refuses_a_student_without_the_token():
  with pytest.raises(OptionError, match=r'^method=deit: needs a distillation'):
    methods.named('deit').stages(small_pairs.pair())
