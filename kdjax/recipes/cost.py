"""What a step of distillation costs, from the compiler: nothing is run.

Teacher, student, loss and the one program that holds all of them are compiled
for the shapes that the settings describe, and the compiler is asked. XLA counts
the body of a loop once, however often it runs, so what loops costs more than
is said here.
"""

from typing import NamedTuple

import jax
import numpy as np

from kdjax import data, transforms
from kdjax.recipes import compiled, methods, preparation
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.run import Experiment
from kdjax.recipes.settings import Settings


class StepCosts(NamedTuple):
  """The costs of a step, in parts and together.

  Attributes:
    settings: Resolved settings.
    devices: How many share the batch.
    teacher: The forward pass in inference mode.
    student: One student's step from labels alone: forward, backward, update.
    losses: By stage of the method, the loss of one student: its value and its
      gradients in the student's outputs and in the loss's own parameters.
    programs: By stage, the whole step of all students.
  """

  settings: Settings
  devices: int
  teacher: compiled.ProgramCost
  student: compiled.ProgramCost
  losses: dict[str, compiled.ProgramCost]
  programs: dict[str, compiled.ProgramCost]

  def share(self, stage: str) -> float:
    """FLOPs of the one program over those of its parts, one teacher pass.

    Below 1 where a hint stage skips the layers above the hint, and where
    students share the teacher's side of a loss, as in relational losses.
    """
    student = self.student.flops + self.losses[stage].flops
    parts = self.teacher.flops + self.settings.seeds * student
    return self.programs[stage].flops / parts


def step_costs(settings: Settings, devices: int | None = None) -> StepCosts:
  """Compiles a step of every stage of a method, and its parts; runs none.

  The data set gives shapes and sizes. Neither its images nor its labels are
  read beyond what `data.load` reads, and of a teacher only the shapes count,
  so `teacher_checkpoint` is not opened.

  Args:
    settings: What would be distilled.
    devices: How many share the batch; all local devices by default.

  Raises:
    SettingsError: for settings that do not fit the data, the networks or the
      devices, and for a data set or devices that are not there.
    RuntimeError: if the backend does not tell what its programs cost.
  """
  used = _devices(devices)
  experiment = _prepare(settings, used)
  settings, dataset, source = experiment
  assert source is not None
  stages = preparation.stages(settings, dataset, source)
  runs = [compiled.run_of(experiment, stage) for stage in stages]
  labels = transforms.weighted_sum(labels=(1.0, transforms.labels()))
  alone = compiled.run_of(
    experiment, methods.Stage('labels', labels, settings.epochs)
  )
  return StepCosts(
    settings=settings,
    devices=len(used),
    teacher=compiled.teacher_cost(experiment, used, runs[0]),
    student=compiled.student_cost(experiment, used, alone),
    losses={
      run.name: compiled.loss_cost(experiment, used, run) for run in runs
    },
    programs={
      run.name: compiled.program_cost(experiment, used, run) for run in runs
    },
  )


def _devices(count: int | None) -> list[jax.Device]:
  local = jax.local_devices()
  if count is None:
    return local
  if not 1 <= count <= len(local):
    raise SettingsError(
      'devices',
      count,
      f'must be within 1 and {len(local)}, the local '
      f'{local[0].platform} devices',
    )
  return local[:count]


def _prepare(settings: Settings, devices: list[jax.Device]) -> Experiment:
  """`preparation.prepare` for these devices, without reading the labels."""
  settings, dataset, _ = preparation.prepare_teacher(settings, devices)
  # Of the labels only the number matters to a compiler, and those of a large
  # data set take long to read: as many of every class stand in for them.
  labels = np.arange(settings.transfer_examples, dtype=np.int32)
  kept = {'label': labels % dataset.classes}
  source = data.Source(lambda _: {}, len(labels), kept)
  return Experiment(settings, dataset, source)
