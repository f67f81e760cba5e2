"""Evaluation over devices against counting in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data, models, tasks, training

_EXAMPLES = 37
_RANDOM = np.random.default_rng(3)
_PIXELS = _RANDOM.integers(0, 255, (_EXAMPLES, 2, 2, 1)).astype(np.uint8)
_LABELS = _RANDOM.integers(0, 3, _EXAMPLES).astype(np.int32)
_KERNEL = _RANDOM.normal(size=(4, 3)).astype(np.float32)
_MEASURES = tasks.of_classes(3, ('accuracy', 'loss', 'macro_f1'))
_KINDS = {
  'resident': training.resident_evaluation,
  'streaming': training.streaming_evaluation,
}


def _linear(params, inputs):
  return inputs.reshape(inputs.shape[0], -1) @ params['kernel']


def _numpy(kernel):
  logits = ((_PIXELS.reshape(_EXAMPLES, 4) - 127.0) / 74.0) @ kernel
  logits -= logits.max(axis=1, keepdims=True)
  log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  guesses = logits.argmax(axis=1)
  f1 = []
  for name in range(3):
    right = np.sum((guesses == name) & (name == _LABELS))
    wrong = np.sum((guesses == name) != (name == _LABELS))
    f1.append(2 * right / (2 * right + wrong))
  return {
    'accuracy': np.mean(guesses == _LABELS),
    'loss': -log_p[np.arange(_EXAMPLES), _LABELS].mean(),
    'macro_f1': np.mean(f1),
  }


def _evaluation(kind, over_students, batch_size, count):
  params = {'kernel': jnp.asarray(_KERNEL)}
  model = models.normalised(
    models.from_function(_linear, params), (127.0,), (74.0,)
  )
  step = training.make_eval_step(model, _MEASURES, axis_name=training.AXIS)
  sums = _KINDS[kind](
    over_students(step) if over_students else step,
    data.from_arrays(_PIXELS, _LABELS),
    batch_size=batch_size,
    devices=jax.local_devices()[:count],
  )
  return lambda variables: tasks.values(_MEASURES, sums(variables))


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize(
  ('batch_size', 'count'), [(10, 8), (16, 8), (512, 8), (5, 2), (1, 1)]
)
def test_against_numpy(kind, batch_size, count):
  run = _evaluation(kind, None, batch_size, count)
  params = {'kernel': jnp.asarray(_KERNEL)}
  variables = training.replicate(
    models.ModelVariables(params, {}), jax.local_devices()[:count]
  )
  result = run(variables)
  expected = _numpy(_KERNEL)
  assert 0 < expected['accuracy'] < 1
  assert set(result) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(result[name], value, 1e-5, err_msg=name)
  np.testing.assert_allclose(result['accuracy'], expected['accuracy'], 1e-6)


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('over', [training.vmapped, training.unrolled])
def test_stacked_models_are_evaluated_each(kind, over):
  kernels = np.stack([_KERNEL, -_KERNEL])
  variables = training.replicate(models.ModelVariables({'kernel': kernels}, {}))
  result = _evaluation(kind, over, 16, 8)(variables)
  for i, kernel in enumerate(kernels):
    for name, value in _numpy(kernel).items():
      np.testing.assert_allclose(result[name][i], value, 1e-5)
