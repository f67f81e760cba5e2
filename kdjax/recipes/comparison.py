"""Several distillations side by side, as `summary.json` holds them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import reports
from kdjax.recipes.distillation import Distilled
from kdjax.recipes.summary import describe, describe_data, describe_measure
from kdjax.training import Fitted


def compare(results: Mapping[str, Distilled], seconds: float) -> dict[str, Any]:
  """Collects what several distillations found.

  Args:
    results: By name.
    seconds: How long the whole experiment took.

  Returns:
    JSON: `dataset, method, seeds, devices, seconds, measure, students, gains`.
    Students are `scratch`, where it was trained, and those of `results`, each
    with its `teacher`. Gains are of one student over another; they compare
    those that have the architecture and the seeds of the first.
  """
  first = next(iter(results.values()))
  experiment, task = first.experiment, first.experiment.task
  headline = next(iter(task.measures))
  students: dict[str, Any] = {}
  comparable: dict[str, Fitted] = {}
  if first.scratch:
    comparable['scratch'] = first.scratch
    students['scratch'] = _student(first, first.scratch, headline)
  for name, result in results.items():
    students[name] = {
      **_student(result, result.distilled, headline),
      'teacher': {
        **describe(task, result.teacher),
        headline: result.teacher.measures[headline],
      },
    }
    if _kind(result) == _kind(first):
      comparable[name] = result.distilled
  names = list(comparable)
  return {
    'dataset': task.name,
    'split': task.split,
    'method': first.method,
    'seeds': list(experiment.budget.all_seeds),
    'devices': experiment.device_count,
    'seconds': seconds,
    'measure': describe_measure(task, headline),
    'students': students,
    'gains': [
      {
        'of': better,
        'over': base,
        **reports.gain(
          comparable[base].measures[headline],
          comparable[better].measures[headline],
        ),
      }
      for place, base in enumerate(names)
      for better in names[place + 1 :]
    ],
    **describe_data(task),
  }


def _kind(result: Distilled) -> tuple:
  """Students are compared in pairs of seeds if these values are equal."""
  # Networks of other sizes may share a name, such as Sequential.
  shapes = jax.tree.map(jnp.shape, result.distilled.variables)
  return result.student.name, shapes, result.experiment.budget.all_seeds


def _student(result: Distilled, fitted: Fitted, name: str) -> dict[str, Any]:
  return {
    **describe(result.experiment.task, fitted.network()),
    **reports.spread(name, fitted.measures[name]),
  }
