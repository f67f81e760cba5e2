"""Every method fits the networks it is meant for; traced, not computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models, training
from kdjax.recipes import Settings, methods, reuse

# Those of transformer blocks; all others are tried on convolutional networks.
_TRANSFORMER = ('vitkd', 'minilm', 'minilmv2', 'attention_matrices')
_SHAPES = {'image': jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.float32)}


@functools.cache
def _shapes(name, classifier_of=None, top_k=False):
  model = models.create(name, classes=10)
  if top_k:
    model = models.with_top_k(model, 5)
  if classifier_of:
    teacher = models.create(classifier_of, classes=10)
    model = reuse.reuse_classifier(model, teacher, _SHAPES, classifier_of)
  variables = jax.eval_shape(model.init, jax.random.key(0), _SHAPES)
  return variables, jax.eval_shape(model.apply, variables, _SHAPES)[0]


@pytest.mark.parametrize('method', methods.NAMES)
def test_stages_fit_the_networks(method):
  kind = 'vit' if method in _TRANSFORMER else 'cnn'
  reuses = methods.reuses_classifier((method,))
  student = _shapes(
    f'{kind}_student', classifier_of=f'{kind}_teacher' if reuses else None
  )
  teacher = _shapes(f'{kind}_teacher', top_k=methods.takes_top_k((method,)))
  settings = Settings(
    method=method,
    student=f'{kind}_student',
    teacher=f'{kind}_teacher',
    epochs=8,
  ).resolved(1200)
  stages = methods.stages(
    methods.Choice(
      settings=settings,
      student=student[1],
      teacher=teacher[1],
      teacher_params=teacher[0].params,
      labels=np.arange(120) % 10,
      steps_per_epoch=2,
    )
  )
  assert sum(stage.epochs for stage in stages) == 8
  assert len(stages) == (2 if methods.has_first_stage((method,)) else 1)
  for stage in stages:
    value, state, metrics = jax.eval_shape(
      functools.partial(_apply, stage.loss), student[1], teacher[1]
    )
    assert (value.shape, value.dtype) == ((1,), jnp.float32)
    assert metrics
    assert all(metric.shape == (1,) for metric in metrics.values())
    del state


def _apply(loss, student, teacher):
  """Value, state and metrics of one batch on one device."""
  variables = loss.init(jax.random.key(0), student, teacher)
  batch = {
    'label': jnp.arange(4) % 10,
    'index': jnp.arange(4),
    'weight': jnp.ones(4),
  }

  def on_device(student, teacher, batch):
    return loss.apply(variables, student, teacher, batch, jnp.int32(0))

  return jax.vmap(on_device, axis_name=training.AXIS)(
    *jax.tree.map(lambda x: x[None], (dict(student), dict(teacher), batch))
  )


@pytest.mark.parametrize('method', _TRANSFORMER)
def test_methods_of_transformers_say_what_they_need(method):
  student, teacher = _shapes('cnn_student'), _shapes('cnn_teacher')
  settings = Settings(
    method=method, student='cnn_student', teacher='cnn_teacher', epochs=8
  ).resolved(1200)
  with pytest.raises(ValueError, match=f'method={method}: needs transformer'):
    methods.stages(
      methods.Choice(
        settings=settings,
        student=student[1],
        teacher=teacher[1],
        teacher_params=teacher[0].params,
        labels=np.arange(120) % 10,
        steps_per_epoch=2,
      )
    )
