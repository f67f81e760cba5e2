"""Tokens, several labels, numbers and no labels, on one device and on eight."""

import idioms
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import response as reference

from kdjax import losses, transforms
from kdjax.transforms import LossVariables

_BATCH, _TOKENS, _CLASSES = 16, 3, 4


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


_WEIGHTS = _normal(0, 5, _CLASSES)
_MATRIX = {'w': _WEIGHTS}


def _apply(term, outputs, batch, axis_name=None):
  term = transforms.on_axis(term, axis_name) if axis_name else term
  return term.apply(LossVariables(), *outputs, batch, jnp.int32(0))[0]


def _tokens():
  """Student's inputs, teacher's logits and batch; devices' tokens differ."""
  mask = np.random.default_rng(5).random((_BATCH, _TOKENS)) < 0.6
  mask[:2] = False
  mask[2:4] = True
  inputs = _normal(1, _BATCH, _TOKENS, 5)
  teacher = _normal(2, _BATCH, _TOKENS, _CLASSES)
  inputs[~mask], teacher[~mask] = np.nan, -np.inf
  label = np.random.default_rng(3).integers(0, _CLASSES, mask.shape)
  label = np.where(mask, label, -100).astype(np.int32)
  return inputs, teacher, {'mask': mask, 'label': label}


_OF_TOKENS = {
  'soft_targets': transforms.soft_targets(mask='mask'),
  'reverse_kl': transforms.reverse_kl(mask='mask'),
  'decoupled': transforms.decoupled(mask='mask', ignore=-100),
  'labels': transforms.labels(ignore=-100, mask='mask'),
  'labels, ignored only': transforms.labels(ignore=-100),
  'label_smoothing': transforms.label_smoothing(ignore=-100),
}


def _token_loss(name):
  inputs, teacher, batch = _tokens()

  def value(params, given, axis_name):
    x, t, b = given
    highest = jax.lax.Precision.HIGHEST
    student = jnp.matmul(x, params['w'], precision=highest)
    # Nothing but the losses keeps the padding out.
    student = jnp.where(b['mask'][..., None], student, jnp.nan)
    outputs = {'logits': student}, {'logits': t}
    return _apply(_OF_TOKENS[name], outputs, b, axis_name)

  return value, _MATRIX, (np.nan_to_num(inputs), teacher, batch)


@pytest.mark.parametrize('idiom', idioms.IDIOMS)
@pytest.mark.parametrize('name', _OF_TOKENS)
def test_tokens_are_averaged_over_the_global_batch(name, idiom):
  value, slopes = idioms.IDIOMS[idiom](*_token_loss(name))
  right, expected = idioms.one_device(*_token_loss(name))
  np.testing.assert_allclose(value, right, rtol=1e-6)
  np.testing.assert_allclose(slopes['w'], expected['w'], rtol=1e-5, atol=1e-6)
  assert np.isfinite(expected['w']).all()


def test_the_mean_is_over_the_real_tokens():
  inputs, teacher, batch = _tokens()
  mask = batch['mask']
  student = np.nan_to_num(inputs) @ _WEIGHTS
  outputs = {'logits': student}, {'logits': teacher}
  found = _apply(
    transforms.soft_targets(temperature=2.0, mask='mask'), outputs, batch
  )
  loop = [
    4 * reference.kl(t, s, 2.0)
    for s, t in zip(student[mask], teacher[mask], strict=True)
  ]
  np.testing.assert_allclose(found, np.mean(loop), rtol=1e-5)


@pytest.mark.parametrize('idiom', idioms.IDIOMS)
def test_linear_tokens_are_averaged_over_the_global_batch(idiom):
  inputs, _, batch = _tokens()
  hidden = _normal(7, _BATCH, _TOKENS, 6)
  head = _normal(8, 6, _CLASSES)
  term = transforms.linear_soft_targets(mask='mask', chunk=4)
  weight = np.ones(_BATCH, np.float32)
  weight[5] = 0

  def value(params, given, axis_name):
    x, t, b = given
    outputs = {'hidden': x, 'head': params['w']}, {'hidden': t, 'head': head}
    return _apply(term, outputs, b, axis_name)

  problem = value, _MATRIX, (inputs, hidden, {**batch, 'weight': weight})
  result, slopes = idioms.IDIOMS[idiom](*problem)
  right, expected = idioms.one_device(*problem)
  counts = batch['mask'] & (weight > 0)[:, None]
  whole = losses.soft_target_loss(
    (inputs[counts] @ _WEIGHTS), hidden[counts] @ head
  )
  np.testing.assert_allclose(right, whole.mean(), rtol=1e-5)
  np.testing.assert_allclose(result, right, rtol=1e-5)
  np.testing.assert_allclose(slopes['w'], expected['w'], rtol=1e-4, atol=1e-6)


def test_several_labels():
  student, teacher = _normal(1, 6, 3), _normal(2, 6, 3)
  label = np.float32(_normal(3, 6, 3) > 0)
  outputs = {'logits': student}, {'logits': teacher}
  found = _apply(transforms.multi_labels(), outputs, {'label': label})
  p = 1 / (1 + np.exp(-np.float64(student)))
  entropy = -(label * np.log(p) + (1 - label) * np.log(1 - p))
  np.testing.assert_allclose(found, entropy.sum(1).mean(), rtol=1e-6)
  found = _apply(
    transforms.multi_label_soft_targets(temperature=2.0), outputs, {}
  )
  loop = [
    4 * reference.kl([t, 0.0], [s, 0.0], 2.0)
    for s, t in zip(student.ravel(), teacher.ravel(), strict=True)
  ]
  np.testing.assert_allclose(found, np.sum(loop) / 6, rtol=1e-5)
  with pytest.raises(
    losses.RefusedError, match='multi_labels: label must have'
  ):
    _apply(transforms.multi_labels(), outputs, {'label': np.zeros(6, np.int32)})


def test_numbers_as_answers():
  student, teacher = _normal(1, 6, 2, 3), _normal(2, 6, 2, 3)
  outputs = {'prediction': student}, {'prediction': teacher}
  found = _apply(transforms.regression_targets(), outputs, {})
  np.testing.assert_allclose(
    found, ((student - teacher) ** 2).mean(), rtol=1e-6
  )
  label = _normal(3, 6, 2, 3)
  found = _apply(transforms.regression_labels(), outputs, {'label': label})
  np.testing.assert_allclose(found, ((student - label) ** 2).mean(), rtol=1e-6)
  with pytest.raises(
    losses.RefusedError, match=r'label must have the shape of prediction'
  ):
    _apply(transforms.regression_labels(), outputs, {'label': label[:, 0]})


@pytest.mark.parametrize('form', ['one-hot', 'soft'])
def test_labels_may_be_shares(form):
  student, label = _normal(1, 6, _CLASSES), np.arange(6) % _CLASSES
  shares = np.eye(_CLASSES, dtype=np.float32)[label]
  if form == 'soft':
    shares = 0.7 * shares + 0.3 * shares[::-1]
  outputs = {'logits': student}, {}
  found = _apply(transforms.labels(), outputs, {'label': shares})
  log_q = np.array([reference.log_softmax(row) for row in student])
  np.testing.assert_allclose(found, -(shares * log_q).sum(1).mean(), rtol=1e-6)
  with pytest.raises(losses.RefusedError, match='argmax'):
    _apply(
      transforms.decoupled(),
      ({'logits': student}, {'logits': student}),
      {'label': shares},
    )
