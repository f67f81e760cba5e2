"""A method bound to a student and a teacher, checked before any training."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from kdjax import training
from kdjax.methods import Method, Pair, Stage, of_loss
from kdjax.models import Model, ModelVariables
from kdjax.options import OptionError
from kdjax.recipes.starting import Start, start_of
from kdjax.training import Experiment
from kdjax.transforms import LossTransform


class Plan(NamedTuple):
  """A method bound to a student and its teacher.

  Attributes:
    student: The student as the method trains it.
    teacher: The teacher with the outputs that the method reads.
    stages: The stages of the student's training.
    kept: Shapes of the teacher's outputs that the stages read.
  """

  student: Model
  teacher: Model
  stages: tuple[Stage, ...]
  kept: Mapping[str, jax.ShapeDtypeStruct]


def plan(
  experiment: Experiment,
  student: Model,
  teacher: Model,
  method: Method | LossTransform,
  variables: ModelVariables | None = None,
  labels: Callable[[], np.ndarray] | None = None,
) -> Plan:
  """Binds a method to a student and its teacher.

  Args:
    experiment: Task and budget.
    student: The student.
    teacher: The teacher.
    method: The method, or one loss to minimise.
    variables: The teacher's variables; None to check before there are any.
    labels: Gives the classes of the training examples; reads them by default.

  Raises:
    OptionError: if the method does not fit the networks or the budget.
  """
  if isinstance(method, LossTransform):
    method = of_loss(method)
  task = experiment.task
  batch = task.batch()
  teacher = method.teacher(teacher)
  known = _shapes(teacher, batch) if variables is None else variables
  student = method.student(student, teacher, known.params, batch, training.AXIS)
  outputs = {
    'teacher': jax.eval_shape(teacher.apply, known, batch)[0],
    'student': jax.eval_shape(student.apply, _shapes(student, batch), batch)[0],
  }
  stages = method.stages(
    Pair(
      **outputs,
      teacher_params=known.params,
      examples=len(task.train),
      labels=labels or task.train.labels,
      epochs=experiment.epochs,
      steps_per_epoch=experiment.steps_per_epoch,
      names=(student.name, teacher.name),
      class_weights=task.class_weights,
    )
  )
  for stage in stages:
    experiment.budget.check_warmup(stage.name, stage.epochs)
  losses = [stage.loss for stage in stages]
  try:
    kept = training.teacher_outputs_read(experiment, losses, student, teacher)
  except (ValueError, AssertionError) as error:  # of losses, and of chex
    if task.views.mix is None:
      raise
    raise OptionError(
      'method',
      method.name,
      'needs one class per example, which images mixed by mixup or cutmix do '
      'not have',
    ) from error
  return Plan(student, teacher, stages, kept)


def check(
  experiment: Experiment,
  student: Model,
  teacher: Model,
  method: Method | LossTransform,
  variables: ModelVariables | None = None,
  *,
  start: Start = None,
) -> None:
  """Checks everything that needs no training.

  Args:
    experiment: As for `distil`.
    student: The student.
    teacher: The teacher.
    method: The method.
    variables: The teacher's variables, if it is trained already.
    start: As for `distil`.

  Raises:
    OptionError: if method, networks, budget, devices and cache do not fit one
      another.
  """
  check_devices(experiment)
  planned = plan(experiment, student, teacher, method, variables)
  training.check_cache(experiment, planned.teacher, variables, planned.kept)
  start_of(experiment, planned.student, start)


def check_devices(experiment: Experiment, flag: str = 'batch_size') -> None:
  """Raises OptionError, which names a flag, unless devices divide the batch.

  Mixed images need an even part of the batch on every device.
  """
  size = experiment.budget.batch_size
  try:
    training.check_batch_size(size, experiment.devices)
  except ValueError as error:
    count = experiment.device_count
    raise OptionError(
      flag, size, f'must be a multiple of the {count} devices'
    ) from error
  count = experiment.device_count
  if experiment.task.views.mix is not None and size // count % 2:
    raise OptionError(
      flag,
      size,
      f'must be a multiple of {2 * count}, twice the devices, as mixup and '
      'cutmix mix pairs',
    )


def _shapes(model: Model, batch: Mapping) -> ModelVariables:
  return jax.eval_shape(model.init, jax.random.key(0), batch)
