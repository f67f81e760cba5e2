"""SimKD: the student's features in the teacher's classifier."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from kdjax.losses.feature import maps
from kdjax.losses.feature.simkd import simkd_loss
from kdjax.transforms import base
from kdjax.transforms.connectors import SimKDProjector
from kdjax.transforms.feature import binding


def simkd(
  *,
  student: str,
  teacher: str,
  classifier: Callable[[jax.Array], chex.Array] | None = None,
  factor: int = 2,
  axis_name: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.simkd_loss` through a projector (SimKD).

  The student's map, average-pooled where it is the larger, passes a
  `SimKDProjector` that trains with it. Weight 1, with NO other term: neither
  labels nor soft targets.

  The student predicts with the teacher's classifier at test time too, so the
  projector is part of it (its own head is not trained):

  ```python
  projector = SimKDProjector(channels=teacher_channels)
  variables = {'params': state.loss.params, **state.loss.state}
  features = projector.apply(variables, student_outputs['stage3'])
  logits = classifier(features.mean(axis=(1, 2)))
  ```

  (with a student's map larger than the teacher's average-pooled before.)

  Args:
    student: Name of the student's last map, before the global pooling.
    teacher: Name of the teacher's.
    classifier: The teacher's: from features `[batch, channels]` to logits
      `[batch, classes]`. If given, the metric `accuracy` is that of its answer
      to the projected, globally pooled features, with the batch's statistics.
    factor: By which the projector's bottleneck is thinner than the teacher.
    axis_name: Mapped axis for the batch norms; None for each device's own
      examples.

  Raises:
    ValueError: if the factor is not a positive integer; from `init`, if there
      is no such tap (lists those there are), it is no map, or the factor is
      above the teacher's channels.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """
  if not isinstance(factor, int) or factor < 1:
    raise ValueError(f'factor must be a positive integer, got {factor}.')

  def init(key, student_outputs, teacher_outputs):
    source = binding.example_map(student_outputs, student, 'student')
    target = binding.example_map(teacher_outputs, teacher, 'teacher')
    channels = target.shape[-1]
    if channels < factor:
      raise ValueError(
        f"factor must be at most the teacher's channels, {channels}, got "
        f'{factor}.'
      )
    projector = SimKDProjector(channels, factor, axis_name)
    return binding.init_module(key, projector, source)

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    source = binding.read_map(student_outputs, student, batch)
    target = binding.read_map(teacher_outputs, teacher, batch)
    source, _ = maps.to_common_size(source, target)
    projector = SimKDProjector(target.shape[-1], factor, axis_name)
    projected, state = binding.apply_module(
      projector, *variables, source, batch.get('weight'), train=True
    )
    value = base.batch_mean(simkd_loss(projected, target), batch)
    metrics = {}
    if classifier is not None:
      logits = classifier(jnp.mean(projected, axis=(1, 2)))
      correct = jnp.argmax(logits, axis=-1) == batch['label']
      metrics['accuracy'] = base.batch_mean(correct.astype(jnp.float32), batch)
    return value, state, metrics

  return base.LossTransform(init, apply)
