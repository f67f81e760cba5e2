"""A student with its teacher's answer among its outputs."""

import chex

from kdjax.models.model import Batch, Model, ModelVariables, Outputs
from kdjax.models.network import Network


def beside(student: Model, teacher: Network) -> Model:
  """Adds a teacher's logits to a student's outputs, to compare the answers.

  Args:
    student: The student.
    teacher: The teacher; it runs in inference mode.

  Returns:
    A model of the student's variables, whose outputs also have
    `teacher_logits`.
  """

  def apply(
    variables: ModelVariables, batch: Batch, **options
  ) -> tuple[Outputs, chex.ArrayTree]:
    outputs, state = student.apply(variables, batch, **options)
    answers, _ = teacher.model.apply(teacher.variables, batch)
    return {**outputs, 'teacher_logits': answers['logits']}, state

  return student._replace(apply=apply)
