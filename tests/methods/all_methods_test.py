"""Every method fits the networks it is meant for; traced, not computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import methods, models, training, transforms
from kdjax.options import OptionError

# Those of transformer blocks, and of a distillation token; all others are tried
# on convolutional networks.
_TRANSFORMER = ('vitkd', 'minilm', 'minilmv2', 'attention_matrices')
_DISTILLED = ('deit', 'deit_soft')
# Student and teacher.
_NETWORKS = {
  'cnn': ('cnn_student', 'cnn_teacher'),
  'vit': ('vit_student', 'vit_teacher'),
  'distilled': ('vit_student_distilled', 'cnn_teacher'),
}
_BATCH = {'image': jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.float32)}


def _traced(model):
  """Shapes of a model's variables and of its outputs."""
  variables = jax.eval_shape(model.init, jax.random.key(0), _BATCH)
  return variables, jax.eval_shape(model.apply, variables, _BATCH)[0]


@functools.cache
def _bound(method, kind):
  """The stages of a method, with shapes of what student and teacher say."""
  made = methods.named(method)
  student, teacher = (
    models.create(name, classes=10) for name in _NETWORKS[kind]
  )
  teacher = made.teacher(teacher)
  variables, targets = _traced(teacher)
  student = made.student(
    student, teacher, variables.params, _BATCH, training.AXIS
  )
  outputs = _traced(student)[1]
  stages = made.stages(
    methods.Pair(
      student=outputs,
      teacher=targets,
      teacher_params=variables.params,
      examples=120,
      labels=lambda: np.arange(120, dtype=np.int32) % 10,
      epochs=8,
      steps_per_epoch=2,
      names=(student.name, teacher.name),
    )
  )
  return stages, outputs, targets


@pytest.mark.parametrize('method', methods.NAMES)
def test_stages_fit_the_networks(method):
  kind = 'distilled' if method in _DISTILLED else 'cnn'
  kind = 'vit' if method in _TRANSFORMER else kind
  stages, student, teacher = _bound(method, kind)
  assert sum(stage.epochs for stage in stages) == 8
  two = method in ('fitnets', 'fsp', 'ab')
  assert [stage.name for stage in stages] == ['hint'] * two + ['distilled']
  assert [stage.freeze_unreached for stage in stages] == [True] * two + [False]
  for stage in stages:
    value, state, metrics = jax.eval_shape(
      functools.partial(_apply, stage.loss), student, teacher
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
  loss = transforms.on_axis(loss, training.AXIS)

  def on_device(student, teacher, batch):
    return loss.apply(variables, student, teacher, batch, jnp.int32(0))

  return jax.vmap(on_device, axis_name=training.AXIS)(
    *jax.tree.map(lambda x: x[None], (dict(student), dict(teacher), batch))
  )


def test_the_outputs_that_methods_add():
  _, student, teacher = _bound('simkd', 'cnn')
  assert student['projected'].shape == teacher['stage3'].shape
  assert student['logits'].shape == (4, 10)
  _, _, teacher = _bound('kd_top_k', 'cnn')
  assert teacher['top_k_indices'].shape == (4, 5)


@pytest.mark.parametrize('method', _TRANSFORMER)
def test_methods_of_transformers_say_what_they_need(method):
  with pytest.raises(
    OptionError,
    match=f'method={method}: needs transformer blocks, which the student '
    'cnn_student does not have',
  ):
    _bound(method, 'cnn')


@pytest.mark.parametrize('method', _DISTILLED)
def test_methods_of_a_distillation_token_say_what_they_need(method):
  with pytest.raises(
    OptionError,
    match=f'method={method}: needs a distillation token, which the student '
    'vit_student does not have; the models named ..._distilled do',
  ):
    _bound(method, 'vit')
