"""The numbers of a distillation, as `summary.json` holds them."""

from typing import Any

from kdjax import deploy, reports
from kdjax.recipes import programs
from kdjax.recipes.distillation import Distilled
from kdjax.recipes.networks import (
  Network,
  first_network,
  make_model,
  reused_classifier,
)
from kdjax.training import parallel


def summarise(result: Distilled, seconds: float) -> dict[str, Any]:
  """Collects what was found.

  Args:
    result: From `distill`.
    seconds: How long the whole experiment took.

  Returns:
    JSON: `dataset, method, seeds, devices, seconds, steps_per_second, teacher,
    student, scratch, distilled, gain`. Accuracies are fractions of the test set
    after the last epoch, gains their differences.
    `steps_per_second` counts the distilled students' steps over the time of
    their run, compilation, evaluation and checkpoints included.
    With a cached teacher also `teacher_cache`: how many views the teacher
    looked at in this process (`computed`) of those that were `served`.
  """
  settings, dataset, _ = result.experiment
  scratch, distilled = result.scratch, result.distilled
  student = _describe(result, result.student)
  plain = student
  if scratch and reused_classifier(settings):
    model = make_model(settings, dataset, settings.student)
    plain = _describe(result, first_network(settings.student, model, scratch))
  return {
    'dataset': dataset.name,
    'method': settings.method,
    'seeds': list(range(settings.seed, settings.seed + settings.seeds)),
    'devices': parallel.device_count(),
    'seconds': seconds,
    'steps_per_second': distilled.steps / distilled.seconds,
    'teacher': {
      **_describe(result, result.teacher),
      'accuracy': result.teacher.accuracy,
    },
    'student': student,
    'scratch': (
      {**plain, **reports.accuracies(scratch.accuracy)} if scratch else None
    ),
    'distilled': {**student, **reports.accuracies(distilled.accuracy)},
    'gain': (
      reports.gain(scratch.accuracy, distilled.accuracy) if scratch else None
    ),
    **_cache(result),
  }


def _cache(result: Distilled) -> dict[str, Any]:
  cached = result.cached
  if cached is None:
    return {}
  used = {'computed': cached.computed, 'served': cached.served}
  return {'teacher_cache': used}


def _describe(result: Distilled, network: Network) -> dict[str, Any]:
  cost = deploy.measure(
    network.model,
    network.variables,
    programs.batch_shapes(result.experiment.dataset),
  )
  return {'model': network.name, **cost._asdict()}
