"""The numbers of a distillation, as `summary.json` holds them."""

from typing import Any

from kdjax import deploy, models, reports, tasks
from kdjax.models import Network
from kdjax.recipes.distillation import Distilled
from kdjax.tasks import Task


def summarise(result: Distilled, seconds: float) -> dict[str, Any]:
  """Collects what was found.

  Args:
    result: From `distil`.
    seconds: How long the whole experiment took.

  Returns:
    JSON: `dataset, method, seeds, devices, seconds, steps_per_second, teacher,
    student, scratch, distilled, gain, measure, measures`. The task's first
    measure, such as `accuracy`, stands under its name, on the test set after
    the last epoch; gains are differences. `measures` has all others too.
    `steps_per_second` counts the distilled students' steps over the time of
    their run, compilation, evaluation and checkpoints included.
    With `split='validation'` the numbers are on held-out training examples.
    `remarks` says what was left out of the data, if anything; `classes` counts
    the examples of every class if they are unbalanced, the student's included.
    With pretrained students also `start`. With a cached teacher also
    `teacher_cache`: how many views the teacher looked at in this process
    (`computed`) of those that were `served`.
  """
  experiment, scratch, distilled = (
    result.experiment,
    result.scratch,
    result.distilled,
  )
  task, headline = experiment.task, next(iter(experiment.task.measures))
  student = describe(task, result.student)
  plain = student
  if scratch and scratch.model.note != distilled.model.note:
    plain = describe(task, scratch.network())

  def spread(fitted, name=headline):
    return reports.spread(name, fitted.measures[name])

  return {
    'dataset': task.name,
    'split': task.split,
    'method': result.method,
    'seeds': list(experiment.budget.all_seeds),
    'devices': experiment.device_count,
    'seconds': seconds,
    'steps_per_second': distilled.steps / distilled.seconds,
    'teacher': {
      **describe(task, result.teacher),
      headline: result.teacher.measures[headline],
    },
    'student': student,
    'scratch': {**plain, **spread(scratch)} if scratch else None,
    'distilled': {**student, **spread(distilled)},
    'gain': _gain(task, result, headline),
    'measure': describe_measure(task, headline),
    'measures': {
      name: {
        'teacher': result.teacher.measures[name],
        'scratch': spread(scratch, name) if scratch else None,
        'distilled': spread(distilled, name),
        'gain': _gain(task, result, name),
        **describe_measure(task, name),
      }
      for name in distilled.measures
    },
    **describe_data(task),
    **starts(result),
    **_cache(result),
  }


def describe_data(task: Task) -> dict[str, Any]:
  """Returns what a report says of the data: `remarks` and `classes`."""
  classes = tasks.unbalanced(task)
  return {
    **({'remarks': list(task.remarks)} if task.remarks else {}),
    **({'classes': classes} if classes else {}),
  }


def describe(task: Task, network: Network) -> dict[str, Any]:
  """The name and the costs of a network, as JSON."""
  batch = models.at_own_size(network.model, task.batch())
  cost = deploy.measure(network.model, network.variables, batch)
  return {'model': network.name, **cost._asdict()}


def describe_measure(task: Task, name: str) -> dict[str, Any]:
  """How a report reads a measure."""
  measure = task.measures[name.partition('/')[0]]
  return {
    'name': name,
    'unit': measure.unit,
    'higher_is_better': measure.higher_is_better,
  }


def _gain(task: Task, result: Distilled, name: str) -> dict[str, Any] | None:
  if result.scratch is None:
    return None
  return reports.gain(
    result.scratch.measures[name], result.distilled.measures[name]
  )


def starts(result: Distilled) -> dict[str, str]:
  """What reports say of students that did not start from new parameters."""
  return {'start': 'pretrained'} if result.pretrained else {}


def _cache(result: Distilled) -> dict[str, Any]:
  cached = result.cached
  if cached is None:
    return {}
  used = {'computed': cached.computed, 'served': cached.served}
  return {'teacher_cache': used}
