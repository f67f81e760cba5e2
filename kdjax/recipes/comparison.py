"""Several distillations side by side, as `summary.json` holds them."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import reports
from kdjax.recipes.distillation import Distilled
from kdjax.recipes.summary import (
  describe,
  describe_data,
  describe_measure,
  starts,
)
from kdjax.tasks import Task
from kdjax.training import Fitted


def compare(results: Mapping[str, Distilled], seconds: float) -> dict[str, Any]:
  """Collects what several distillations found.

  Args:
    results: By name.
    seconds: How long the whole experiment took.

  Returns:
    JSON: `dataset, method, seeds, devices, seconds, measure, students, gains,
    measures`. Students are `scratch`, where it was trained, and those of
    `results`, each with its `teacher`. Gains are of one student over another;
    they compare those that have the architecture and the seeds of the first.
    `measures` has `students` and `gains` of every measure.
  """
  first = next(iter(results.values()))
  experiment, task = first.experiment, first.experiment.task
  headline = next(iter(task.measures))
  students: dict[str, Any] = {}
  fitted: dict[str, Fitted] = {}
  if first.scratch:
    fitted['scratch'] = first.scratch
    students['scratch'] = _student(first, first.scratch, headline)
  for name, result in results.items():
    fitted[name] = result.distilled
    students[name] = {
      **_student(result, result.distilled, headline),
      'teacher': {
        **describe(task, result.teacher),
        headline: result.teacher.measures[headline],
      },
    }
  comparable = [
    name
    for name in fitted
    if name not in results or _kind(results[name]) == _kind(first)
  ]
  measures = {
    measure: _measure(task, measure, fitted, comparable)
    for measure in first.distilled.measures
  }
  return {
    'dataset': task.name,
    'split': task.split,
    'method': first.method,
    'seeds': list(experiment.budget.all_seeds),
    'devices': experiment.device_count,
    'seconds': seconds,
    'measure': describe_measure(task, headline),
    'students': students,
    'gains': measures[headline]['gains'],
    'measures': measures,
    **starts(first),
    **describe_data(task),
  }


def _measure(
  task: Task, name: str, fitted: Mapping[str, Fitted], comparable: list[str]
) -> dict[str, Any]:
  """A measure of all students, and the gains between those comparable."""
  return {
    **describe_measure(task, name),
    'students': {
      student: reports.spread(name, one.measures[name])
      for student, one in fitted.items()
    },
    'gains': _gains({x: fitted[x] for x in comparable}, name),
  }


def _gains(fitted: Mapping[str, Fitted], measure: str) -> list[dict[str, Any]]:
  """The gain of every student over each one before it."""
  return [
    {
      'of': better,
      'over': base,
      **reports.gain(
        fitted[base].measures[measure], fitted[better].measures[measure]
      ),
    }
    for base, better in itertools.combinations(fitted, 2)
  ]


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
