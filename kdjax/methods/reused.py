"""Students that answer with their teacher's classifier (SimKD)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import models
from kdjax.methods.pair import stage_names
from kdjax.models import Model
from kdjax.options import OptionError
from kdjax.transforms import connectors


def reuse_classifier(
  student: Model,
  teacher: Model,
  teacher_params: Any,
  batch: Mapping[str, jax.ShapeDtypeStruct],
  axis_name: str | None = None,
) -> Model:
  """The student with a projector and its teacher's classifier.

  Args:
    student: The student.
    teacher: The teacher; only the shapes of its outputs are read.
    teacher_params: Its parameters; of shapes alone the classifier is zero.
    batch: Shapes and dtypes of a batch.
    axis_name: Mapped axis for the statistics of the projector's batch norms.

  Returns:
    The student; its note names the teacher as `classifier_of`.

  Raises:
    OptionError: if the teacher is not a dense classifier of the globally
      pooled last stage.
  """
  outputs = {}
  for network, model in (('student', student), ('teacher', teacher)):
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    outputs[network] = jax.eval_shape(model.apply, variables, batch)[0]
  head = teacher_params.get('head') if teacher_params else None
  last = stage_names(outputs['teacher'])[-1:]
  shape: tuple[int, ...] = ()
  if last:
    shape = outputs['teacher'][last[0]].shape[1:]
  if (
    head is None
    or not shape
    or 'block1' in outputs['teacher']  # reads the class token
    # Normalises the stage, or its mean.
    or not outputs['teacher'].keys().isdisjoint({'norm', f'{last[0]}/norm'})
    or head['kernel'].shape[0] != shape[-1]
  ):
    raise OptionError(
      'method',
      'simkd',
      'needs a teacher whose classifier reads its pooled last stage, which '
      f'{teacher.name} does not; mlp, cnn, vgg and resnet models do',
    )
  height, width = shape[:-1] or (1, 1)
  reused = models.reuse_classifier(
    student,
    connectors.SimKDProjector(
      shape[-1], size=(height, width), axis_name=axis_name
    ),
    _dense,
    jax.tree.map(_array, head),
    tap=stage_names(outputs['student'])[-1],
  )
  note = {**student.note, 'classifier_of': teacher.name}
  return reused._replace(note=note)


def _array(x: Any) -> jax.Array:
  """The array, or zeros of its shape."""
  if isinstance(x, jax.ShapeDtypeStruct):
    return jnp.zeros(x.shape, x.dtype)
  return x


def _dense(params: Any, features: jax.Array) -> jax.Array:
  return features @ params['kernel'] + params['bias'][None]
