"""Runs, and the experiment whose task and budget they share."""

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
  """Receives the progress of training, like `kdjax.reports.Recorder`."""

  def start(self, run: str, epochs: int, done: int) -> None:
    """Is called when a run begins; `done` of its epochs were restored."""

  def epoch(
    self,
    run: str,
    epoch: int,
    seeds: Sequence[int],
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
  ) -> None:
    """Is called after every epoch; the values are `[seeds]` each."""


class Nobody:
  """An observer that does nothing."""

  def start(self, run: str, epochs: int, done: int) -> None:
    """Does nothing."""

  def epoch(self, *values: object) -> None:
    """Does nothing."""


class Experiment(NamedTuple):
  """The settings that all runs of an experiment share.

  Attributes:
    task: The task; students see its training examples.
    budget: The epochs, batches, optimizer and seeds.
    workdir: Directory of models and checkpoints. A run that stopped there
      continues.
    observer: Receives the values of every epoch.
    stop: Notes the signals that end training early, or None.
    teacher_options: Options of the teacher's outputs.
    devices: Devices that share the batch; None for all devices of all
      processes.
    prefix: Text before the names of all runs, so that several distillations can
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
    """Returns the part of the experiment whose runs are named `name/...`."""
    return self._replace(prefix=f'{self.prefix}{name}/')

  @property
  def epochs(self) -> int:
    """Number of passes over the task's training examples."""
    return self.budget.epochs_over(len(self.task.train))

  @property
  def steps_per_epoch(self) -> int:
    """Number of steps of one pass over the training examples."""
    return self.budget.steps_per_epoch(len(self.task.train))

  @property
  def device_count(self) -> int:
    """Number of devices, of all processes, that share a batch."""
    return parallel.device_count(self.devices)

  @property
  def student_key(self) -> jax.Array:
    """Key that draws order and augmentation of the students' examples."""
    return jax.random.split(jax.random.key(self.budget.data_seed))[1]

  def for_teacher(
    self,
    task: Task,
    epochs: int | None = None,
    members: int = 1,
    budget: Budget | None = None,
  ) -> 'Experiment':
    """Returns the experiment that trains one or several teachers on a task.

    Args:
      task: With the examples that the teachers see.
      epochs: How often; by default `budget.epochs`, or enough for 1500 steps.
      members: Number of teachers.
      budget: A budget of their own; the experiment's by default. The seeds are
        the experiment's.
    """
    seed = self.budget.data_seed
    own = dataclasses.replace(
      budget or self.budget,
      epochs=epochs or (budget.epochs if budget else None),
      seed=seed,
      data_seed=seed,
      seeds=members,
    )
    return self._replace(task=task, budget=own)

  @property
  def teacher_key(self) -> jax.Array:
    """Key that draws order and augmentation of the teacher's examples."""
    return jax.random.split(jax.random.key(self.budget.data_seed))[0]


class Run(NamedTuple):
  """One training of a student, or of several students that differ in seed.

  Attributes:
    name: Name in files and reports: `teacher`, `scratch`, `hint`, `distilled`.
    student: The model that trains.
    loss: The loss that the student minimises.
    key: Key that draws order and augmentation of the examples.
    epochs: Number of passes over the examples.
    teacher: The teacher, or None.
    cached: The teacher's cached outputs; None to run it in every epoch.
    epochs_before: Number of epochs in earlier stages; the order of examples
      continues after them.
    start: Stacked variables to start from, or None for new variables.
    freeze_unreached: Whether parameters that the loss does not reach stay
      unchanged.
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
