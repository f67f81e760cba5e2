"""One train step without devices, against steps done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from kdjax import models, tasks, training, transforms

_WEIGHT = np.array([1.25, 1.25, 1.25, 0.0, 1.25], np.float32)
_LABEL = np.array([0, 2, 1, 1, 0], np.int32)


def _linear(params, inputs):
  flat = inputs.reshape(inputs.shape[0], -1)
  return flat @ params['kernel'] + params['bias'][None]


def _parameters(seed):
  random = np.random.default_rng(seed)
  return {
    'kernel': jnp.asarray(random.normal(size=(4, 3)), jnp.float32),
    'bias': jnp.asarray(random.normal(size=3), jnp.float32),
  }


def _batch(seed=7):
  image = np.random.default_rng(seed).normal(size=(5, 2, 2, 1))
  return {
    'image': jnp.asarray(image, jnp.float32),
    'label': jnp.asarray(_LABEL),
    'weight': jnp.asarray(_WEIGHT),
    'index': jnp.arange(5),
  }


def _softmax(logits):
  exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
  return exponentials / exponentials.sum(axis=1, keepdims=True)


def _numpy_logits(params, image):
  kernel, bias = (np.float64(params[name]) for name in ('kernel', 'bias'))
  return np.float64(image).reshape(5, 4) @ kernel + bias


def _numpy_step(student, teacher, image, *, alpha, temperature, rate):
  """The new parameters and the two losses, in float64."""
  image = np.float64(image)
  logits = _numpy_logits(student, image)
  targets = _numpy_logits(teacher, image)
  log_p = np.log(_softmax(logits))
  p, q = _softmax(logits / temperature), _softmax(targets / temperature)
  labels = np.mean(-log_p[np.arange(5), _LABEL] * _WEIGHT)
  divergence = (q * (np.log(q) - np.log(p))).sum(axis=1)
  soft = np.mean(temperature**2 * divergence * _WEIGHT)
  by_labels = np.exp(log_p) - np.eye(3)[_LABEL]
  by_soft = temperature * (p - q)
  by_logits = alpha * by_labels + (1 - alpha) * by_soft
  by_logits *= _WEIGHT[:, None] / 5
  gradient = {
    'kernel': image.reshape(5, 4).T @ by_logits,
    'bias': by_logits.sum(axis=0),
  }
  new = {k: np.float64(student[k]) - rate * gradient[k] for k in student}
  norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
  return new, {'labels': labels, 'soft': soft, 'gradient_norm': norm}


def _distillation(student, teacher, rate=0.3):
  loss = transforms.weighted_sum(
    labels=(0.25, transforms.labels()),
    soft=(0.75, transforms.soft_targets(temperature=3.0)),
  )
  optimizer = optax.sgd(rate)
  step = training.make_train_step(
    student,
    loss,
    optimizer,
    teacher=teacher,
    measures={'accuracy': tasks.correct},
  )
  shapes = {'image': jax.ShapeDtypeStruct((5, 2, 2, 1), jnp.float32)}
  outputs = {'logits': jax.ShapeDtypeStruct((5, 3), jnp.float32)}
  state = training.init_state(0, student, loss, optimizer, shapes, outputs)
  return step, state


@pytest.mark.parametrize('transform', [lambda f: f, jax.jit])
def test_step_is_the_hand_computed_one(transform):
  student, teacher = _parameters(1), _parameters(2)
  step, state = _distillation(
    models.from_function(_linear, student),
    models.from_function(_linear, teacher),
  )
  batch = _batch()
  variables = models.ModelVariables(teacher, {})
  new, metrics = transform(step)(state, variables, batch)
  expected, numbers = _numpy_step(
    student, teacher, batch['image'], alpha=0.25, temperature=3.0, rate=0.3
  )
  for name, value in expected.items():
    np.testing.assert_allclose(
      new.model.params[name], value, rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(student[name], value, atol=1e-3)
  for name, value in numbers.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
  np.testing.assert_allclose(
    metrics['loss'],
    0.25 * numbers['labels'] + 0.75 * numbers['soft'],
    rtol=1e-5,
  )
  guesses = _numpy_logits(student, batch['image']).argmax(axis=1)
  np.testing.assert_allclose(
    metrics['accuracy'], np.mean((guesses == _LABEL) * _WEIGHT), rtol=1e-6
  )
  assert int(new.step) == int(state.step) + 1
  assert int(new.seed) == int(state.seed)


def test_labels_alone_need_no_teacher():
  params = _parameters(1)
  student = models.from_function(_linear, params)
  loss, optimizer = transforms.labels(), optax.sgd(0.3)
  shapes = {'image': jax.ShapeDtypeStruct((5, 2, 2, 1), jnp.float32)}
  state = training.init_state(0, student, loss, optimizer, shapes, {})
  batch = _batch()
  step = training.make_train_step(student, loss, optimizer)
  new, metrics = step(state, None, batch)
  expected, numbers = _numpy_step(
    params, params, batch['image'], alpha=1.0, temperature=1.0, rate=0.3
  )
  for name, value in expected.items():
    np.testing.assert_allclose(
      new.model.params[name], value, rtol=1e-5, atol=1e-6
    )
  np.testing.assert_allclose(metrics['loss'], numbers['labels'], rtol=1e-5)
  assert set(metrics) == {'loss', 'gradient_norm'}


def test_teacher_gets_no_gradient_but_is_used():
  step, state = _distillation(
    models.from_function(_linear, _parameters(1)),
    models.from_function(_linear, _parameters(2)),
  )
  batch = _batch()

  def trained(teacher_params):
    variables = models.ModelVariables(teacher_params, {})
    new, metrics = step(state, variables, batch)
    return jnp.sum(new.model.params['kernel']) + metrics['loss']

  gradient = jax.grad(trained)(_parameters(2))
  for leaf in jax.tree.leaves(gradient):
    np.testing.assert_array_equal(leaf, 0.0)
  assert float(trained(_parameters(2))) != float(trained(_parameters(3)))


def test_teacher_runs_once_on_the_students_images_in_inference_mode():
  calls = []

  def spied(name, model):
    def apply(variables, batch, *, train=False, key=None):
      calls.append((name, train, key is not None, batch['image']))
      return model.apply(variables, batch, train=train, key=key)

    return model._replace(apply=apply)

  step, state = _distillation(
    spied('student', models.from_function(_linear, _parameters(1))),
    spied('teacher', models.from_function(_linear, _parameters(2))),
  )
  calls.clear()
  batch = _batch()
  step(state, models.ModelVariables(_parameters(2), {}), batch)
  assert [call[:3] for call in calls] == [
    ('teacher', False, False),
    ('student', True, True),
  ]
  for call in calls:
    assert call[3] is batch['image']


class _Dropped(nn.Module):
  @nn.compact
  def __call__(self, x, train=False):
    x = nn.Dropout(0.5, deterministic=not train)(x.reshape(x.shape[0], -1))
    return nn.Dense(3)(x)


def test_dropout_differs_by_step_and_by_seed():
  model = models.from_linen(_Dropped())
  loss, optimizer = transforms.labels(), optax.sgd(0.0)
  shapes = {'image': jax.ShapeDtypeStruct((5, 2, 2, 1), jnp.float32)}
  first = training.init_state(0, model, loss, optimizer, shapes, {})
  step = jax.jit(training.make_train_step(model, loss, optimizer))
  batch = _batch()
  second, metrics = step(first, None, batch)
  np.testing.assert_array_equal(
    second.model.params['Dense_0']['kernel'],
    first.model.params['Dense_0']['kernel'],
  )
  losses = [
    float(metrics['loss']),
    float(step(second, None, batch)[1]['loss']),
    float(step(first._replace(seed=jnp.uint32(1)), None, batch)[1]['loss']),
  ]
  assert len(set(losses)) == 3
  assert float(step(first, None, batch)[1]['loss']) == losses[0]


def _eval_step(params):
  measures = tasks.of_classes(3, ('accuracy', 'loss'))
  model = models.from_function(_linear, params)
  return training.make_eval_step(model, measures)


def test_eval_step_counts_real_examples_only():
  params = _parameters(1)
  batch = _batch()
  sums = _eval_step(params)(models.ModelVariables(params, {}), batch)
  logits = _numpy_logits(params, batch['image'])
  losses = -np.log(_softmax(logits))[np.arange(5), _LABEL]
  real = np.array([True, True, True, False, True])
  right = (logits.argmax(axis=1) == _LABEL)[real].sum()
  assert sums.keys() == {'accuracy', 'loss'}
  for measured in sums.values():
    assert int(measured['examples']) == 4
  assert int(sums['accuracy']['sum']) == right
  np.testing.assert_allclose(sums['loss']['sum'], losses[real].sum(), rtol=1e-5)


def test_eval_step_ignores_what_padding_holds():
  params = _parameters(1)
  batch = _batch()
  step = _eval_step(params)
  variables = models.ModelVariables(params, {})
  clean = step(variables, batch)
  spoilt = {**batch, 'image': batch['image'].at[3].set(jnp.nan)}
  jax.tree.map(np.testing.assert_array_equal, step(variables, spoilt), clean)
