"""Tiny experiments on digits, from options under the names of their flags."""

import dataclasses
import signal

from experiments import wiring
from kdjax import recipes


def given(**changes):
  """Options by class, as the flags of `distill` give them."""
  found = {}
  for kind in wiring.DISTILLATION:
    names = {kind.prefix + f.name: f.name for f in dataclasses.fields(kind)}
    own = {names[flag]: changes.pop(flag) for flag in names if flag in changes}
    found[kind] = kind(**own)
  assert not changes, f'no such options: {changes}'
  return found


def wire(**changes):
  """The objects of an experiment."""
  return wiring.wire(given(**changes))


def tiny(**changes):
  """The objects of an experiment with a tiny budget."""
  budget = {'teacher': 'mlp_student', 'epochs': 2, 'teacher_epochs': 2}
  return wire(**{**budget, 'seeds': 2, **changes})


def check(wired):
  """What `distill` checks before it begins."""
  recipes.check(
    wired.experiment,
    wired.student,
    wired.teacher_model,
    wired.method,
    wired.teacher.variables if wired.teacher else None,
    start=wired.start,
  )


class Observer:
  """Remembers what it is told; may ask to stop after an epoch."""

  def __init__(self, stop_after=None):
    self.started, self.epochs, self.values = [], [], []
    self.stop_after = stop_after
    self.number = None  # what `training.fit` reads of a StopSignal

  def start(self, run, epochs, done):
    self.started.append((run, epochs, done))

  def epoch(self, run, epoch, seeds, train, test):
    self.epochs.append((run, epoch))
    self.values.append((run, epoch, seeds, train, test))
    if (run, epoch) == self.stop_after:
      self.number = signal.SIGTERM


def train_teacher(wired, workdir, observer=None):
  """Trains the teacher as `distill` does."""
  observer = observer or Observer()
  experiment = wired.experiment._replace(
    workdir=workdir, observer=observer, stop=observer
  )
  return recipes.train_teacher(
    experiment,
    wired.teacher_model,
    wired.task,
    epochs=wired.teacher_epochs,
    budget=wired.teacher_budget,
  )


def distil(wired, workdir, observer=None, *, scratch=True):
  """Teaches as `distill` does, with a teacher trained before or here."""
  observer = observer or Observer()
  experiment = wired.experiment._replace(
    workdir=workdir, observer=observer, stop=observer
  )
  return recipes.distil(
    experiment,
    wired.student,
    wired.teacher or train_teacher(wired, workdir, observer),
    wired.method,
    scratch=scratch,
    start=wired.start,
  )
