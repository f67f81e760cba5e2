"""Runs, and the experiment that shares its task and budget with them."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import numpy as np

from kdjax.models import Model, ModelVariables, Network
from kdjax.tasks import Task
from kdjax.training import parallel
from kdjax.training.budget import Budget
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.ending import StopSignal
from kdjax.training.teacher_options import TeacherOptions
from kdjax.transforms import LossTransform


class Observer(Protocol):
  """Is told how training goes; `kdjax.reports.Recorder` is one."""

  def start(self, run: str, epochs: int, done: int) -> None:
    """A run begins; `done` of its epochs were restored."""

  def epoch(
    self,
    run: str,
    epoch: int,
    seeds: Sequence[int],
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
  ) -> None:
    """An epoch is over; the values are `[seeds]` each."""


class Nobody:
  """An observer that does nothing."""

  def start(self, run: str, epochs: int, done: int) -> None:
    """Does nothing."""

  def epoch(self, *values: object) -> None:
    """Does nothing."""


class Experiment(NamedTuple):
  """What all runs of an experiment share.

  Attributes:
    task: The task; students see its training examples.
    budget: How long, on what batches, with which optimizer.
    workdir: Where models and checkpoints go. A run that stopped there is
      continued.
    observer: Is told of every epoch.
    stop: Says when to end early, or None.
    teacher_options: How the teacher is asked.
    devices: Which devices share the batch; None for all devices of all
      processes.
    prefix: Stands before the names of all runs, so that several distillations
      share a workdir and an observer.
  """

  task: Task
  budget: Budget
  workdir: pathlib.Path
  observer: Observer = Nobody()
  stop: StopSignal | None = None
  teacher_options: TeacherOptions = TeacherOptions()
  devices: Sequence[jax.Device] | None = None
  prefix: str = ''

  def part(self, name: str) -> 'Experiment':
    """The part of the experiment whose runs are named `name/...`."""
    return self._replace(prefix=f'{self.prefix}{name}/')

  @property
  def epochs(self) -> int:
    """Passes over the task's training examples."""
    return self.budget.epochs_over(len(self.task.train))

  @property
  def steps_per_epoch(self) -> int:
    """Steps in which all training examples are seen once."""
    return self.budget.steps_per_epoch(len(self.task.train))

  @property
  def device_count(self) -> int:
    """How many devices share a batch, of all processes."""
    return parallel.device_count(self.devices)

  @property
  def student_key(self) -> jax.Array:
    """Draws order and augmentation of what students see."""
    return jax.random.split(jax.random.key(self.budget.data_seed))[1]

  def for_teacher(
    self, task: Task, epochs: int | None = None, members: int = 1
  ) -> 'Experiment':
    """The experiment of training the teacher, or several, on a task."""
    budget = dataclasses.replace(
      self.budget, epochs=epochs, seed=self.budget.data_seed, seeds=members
    )
    return self._replace(task=task, budget=budget)

  @property
  def teacher_key(self) -> jax.Array:
    """Draws order and augmentation of what the teacher sees."""
    return jax.random.split(jax.random.key(self.budget.data_seed))[0]


class Run(NamedTuple):
  """One student, or one for each of several seeds, trained once.

  Attributes:
    name: Names its files and lines: `teacher`, `scratch`, `hint`, `distilled`.
    student: The model that trains.
    loss: What it minimises.
    key: Draws order and augmentation of the examples.
    epochs: How often it sees them.
    teacher: The teacher, or None.
    cached: Its outputs, in place of running it in every epoch, or None.
    epochs_before: Epochs of earlier stages, whose order this run continues.
    start: Stacked variables to start from, or None for fresh ones.
    freeze_unreached: Leave alone the parameters that the loss does not reach.
  """

  name: str
  student: Model
  loss: LossTransform
  key: jax.Array
  epochs: int
  teacher: Network | None = None
  cached: CachedTeacher | None = None
  epochs_before: int = 0
  start: ModelVariables | None = None
  freeze_unreached: bool = False
