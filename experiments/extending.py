"""Finished runs that go on for more epochs: --resume --extend."""

import dataclasses
from typing import Any

from experiments import common, workdirs
from experiments.wiring import Wiring
from kdjax import models, recipes, reports, training
from kdjax.options import OptionError
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment, TeacherBudget, TeacherOptions


def extended(wired: Wiring) -> Wiring:
  """Returns the objects of a run that goes on, with what it had before.

  The teacher keeps its epochs unless --teacher_epochs says more. Without
  --extend nothing changes, nor where the run has as many epochs already.

  Raises:
    OptionError: if the new epochs are fewer, or cannot be reached by going on.
    WorkdirError: if there is no run in --workdir.
  """
  if not common.FLAGS.extend:
    return wired
  saved = _saved(wired.given)
  budget = dataclasses.replace(wired.given[Budget], epochs=saved['epochs'])
  old = wired.experiment._replace(budget=budget)
  _check_growth('epochs', old.epochs, wired.experiment.epochs)
  stated, teacher_grows = _teacher(wired, saved)
  _check_stages(wired, old)
  if old.epochs < wired.experiment.epochs or teacher_grows:
    return stated._replace(extended_from=old.epochs)
  # The same command again, after the extension or without one.
  return wired if saved['teacher_epochs'] is None else stated


def extended_teacher(given: common.Asked, experiment: Experiment) -> int | None:
  """Returns the epochs of a teacher alone before it goes on, or None.

  Args:
    given: The options of `train_teacher`.
    experiment: With the teacher's task.

  Raises:
    OptionError: if the new epochs are fewer.
    WorkdirError: if there is no run in --workdir.
  """
  if not common.FLAGS.extend:
    return None
  now = given[recipes.Options].teacher_epochs
  old, new = (
    experiment.for_teacher(experiment.task, epochs).epochs
    for epochs in (_saved(given)['teacher_epochs'], now)
  )
  _check_growth('teacher_epochs', old, new)
  return old if new > old else None


def _saved(given: common.Asked) -> dict[str, Any]:
  """The settings of the run in --workdir."""
  flags = common.FLAGS
  if not (flags.resume and flags.workdir):
    raise OptionError('extend', True, 'needs --resume and --workdir')
  saved = {
    **workdirs.defaults_of(given),
    **reports.read_settings(flags.workdir),
  }
  # The first process writes new settings once every process has read the old.
  training.told_by_first(lambda: 'read')
  return saved


def _check_growth(name: str, old: int, new: int) -> None:
  if new < old:
    raise OptionError(
      name, new, f'must be at least {old}, the epochs of the run to extend'
    )


def _teacher(wired: Wiring, saved: dict[str, Any]) -> tuple[Wiring, bool]:
  """The wiring with the teacher's epochs, and whether they grow."""
  given = wired.given
  if given[models.Options].teacher_checkpoint:
    return wired, False

  def length(epochs: int | None, task: Task = wired.task) -> int:
    own = given[TeacherBudget].of(wired.experiment.budget)
    own = dataclasses.replace(own, epochs=None)
    return wired.experiment.for_teacher(task, epochs, budget=own).epochs

  old = length(saved['teacher_epochs'] or saved['epochs'])
  new = given[recipes.Options].teacher_epochs or old
  _check_growth('teacher_epochs', old, new)
  cache = given[TeacherOptions].cache
  if new > old and cache not in ('none', 'device'):
    raise OptionError(
      'teacher_epochs',
      new,
      f'must stay {old} with teacher_cache={cache}, which holds what the '
      'teacher answered',
    )
  # Without this option, the teacher's epochs would follow the new epochs.
  stated = dataclasses.replace(given[recipes.Options], teacher_epochs=new)
  given = {**given, recipes.Options: stated}
  return wired._replace(given=given, teacher_epochs=new), new > old


def _check_stages(wired: Wiring, old: Experiment) -> None:
  """Raises OptionError if a first stage would grow after the second began."""
  known = wired.teacher.variables if wired.teacher else None
  before, after = (
    recipes.plan(
      experiment, wired.student, wired.teacher_model, wired.method, known
    ).stages
    for experiment in (old, wired.experiment)
  )
  for one, other in zip(before[:-1], after[:-1], strict=True):
    if one.epochs != other.epochs:
      raise OptionError(
        'hint_epochs',
        other.epochs,
        f'must stay {one.epochs}: the {after[-1].name} run began where the '
        f'{one.name} run ended',
      )
