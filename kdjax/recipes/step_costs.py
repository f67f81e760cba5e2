"""Costs of a step of distillation, from the compiler; no step runs."""

from typing import NamedTuple

import jax
import numpy as np

from kdjax import models, training
from kdjax.methods import Method
from kdjax.models import Model, Network
from kdjax.recipes.planning import check_devices, plan
from kdjax.training import Experiment, ProgramCost, Run


class DistillationCosts(NamedTuple):
  """The costs of a step, in parts and together.

  Attributes:
    seeds: How many students share the program.
    teacher: The teacher's forward pass in inference mode.
    student: One student's step from labels alone: forward, backward, update.
    losses: By stage of the method, the loss of one student: its value and its
      gradients in the student's outputs and in the loss's own parameters.
    programs: By stage, the whole step of all students.
  """

  seeds: int
  teacher: ProgramCost
  student: ProgramCost
  losses: dict[str, ProgramCost]
  programs: dict[str, ProgramCost]

  def share(self, stage: str) -> float:
    """FLOPs of the one program over those of its parts, one teacher pass.

    Below 1 where a hint stage skips the layers above the hint, and where
    students share the teacher's side of a loss, as in relational losses.
    """
    student = self.student.flops + self.losses[stage].flops
    parts = self.teacher.flops + self.seeds * student
    return self.programs[stage].flops / parts


def costs(
  experiment: Experiment, student: Model, teacher: Model, method: Method
) -> DistillationCosts:
  """Compiles a step of every stage of a method, and its parts; runs none.

  Args:
    experiment: Task, budget and devices. The task's examples give shapes; one
      of them is read.
    student: The student.
    teacher: The teacher; only the shapes of its variables count.
    method: The method.

  Raises:
    OptionError: if method, networks, budget and devices do not fit one another.
    RuntimeError: if the backend does not tell what its programs cost.
  """
  check_devices(experiment)
  # Only the number of labels matters to a compiler, and those of a large data
  # set take long to read: as many of every class stand in for them.
  batch = experiment.task.batch()
  classes = models.taps(teacher, batch).get('logits', (1,))[-1]
  labels = np.arange(len(experiment.task.train), dtype=np.int32) % classes
  planned = plan(experiment, student, teacher, method, labels=lambda: labels)
  shapes = jax.eval_shape(teacher.init, jax.random.key(0), batch)
  asked = Network(planned.teacher, shapes)

  def run(name, loss, freeze_unreached=False, teacher=None):
    return Run(
      name,
      planned.student,
      loss,
      experiment.student_key,
      experiment.epochs,
      teacher,
      freeze_unreached=freeze_unreached,
    )

  lowered = {
    stage.name: training.lower(
      experiment,
      run(stage.name, stage.loss, stage.freeze_unreached, asked)._replace(
        epochs=stage.epochs
      ),
    )
    for stage in planned.stages
  }
  first = next(iter(lowered.values())).teacher
  assert first is not None
  alone = run('labels', experiment.task.objective)
  return DistillationCosts(
    seeds=experiment.budget.seeds,
    teacher=first,
    student=training.lower_student(experiment, alone),
    losses={name: cost.loss for name, cost in lowered.items()},
    programs={name: cost.program for name, cost in lowered.items()},
  )
