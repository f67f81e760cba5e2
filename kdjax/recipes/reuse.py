"""Students that answer with their teacher's classifier (SimKD)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import models
from kdjax.models import Model
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods.choice import stage_names
from kdjax.training import AXIS
from kdjax.transforms import connectors


def reuse_classifier(
  student: Model,
  teacher: Model,
  batch: Mapping[str, jax.ShapeDtypeStruct],
  name: str,
  classifier_params: Any = None,
) -> Model:
  """The student with a projector and its teacher's classifier.

  Args:
    student: The student.
    teacher: The teacher, of which only the shapes are read.
    batch: Shapes and dtypes of a batch.
    name: Of the teacher, for errors.
    classifier_params: The teacher's trained classifier; zeros where only shapes
      are wanted.

  Raises:
    SettingsError: if the teacher is not a dense classifier of the globally
      pooled last stage.
  """
  outputs, params = {}, {}
  for network, model in (('student', student), ('teacher', teacher)):
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    params[network] = variables.params
    outputs[network] = jax.eval_shape(model.apply, variables, batch)[0]
  head = params['teacher'].get('head')
  last = stage_names(outputs['teacher'])[-1:]
  shape: tuple[int, ...] = ()
  if last:
    shape = outputs['teacher'][last[0]].shape[1:]
  if (
    head is None
    or not shape
    or 'block1' in outputs['teacher']  # reads the class token
    or head['kernel'].shape[0] != shape[-1]
  ):
    raise SettingsError(
      'method',
      'simkd',
      f'needs a teacher whose classifier reads its pooled last stage, which '
      f'{name} does not; mlp, cnn and resnet models do',
    )
  if classifier_params is None:
    classifier_params = jax.tree.map(
      lambda x: jnp.zeros(x.shape, x.dtype), head
    )
  height, width = shape[:-1] or (1, 1)
  return models.reuse_classifier(
    student,
    connectors.SimKDProjector(shape[-1], size=(height, width), axis_name=AXIS),
    _dense,
    classifier_params,
    tap=stage_names(outputs['student'])[-1],
  )


def _dense(params: Any, features: jax.Array) -> jax.Array:
  return features @ params['kernel'] + params['bias'][None]
