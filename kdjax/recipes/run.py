"""What a training run is: students, their examples, their budget."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from kdjax import data
from kdjax.models import Model, ModelVariables
from kdjax.recipes.settings import Settings
from kdjax.training import CachedTeacher, loop
from kdjax.transforms import LossTransform


class Observer(Protocol):
  """Is told how training goes; `kdjax.reports.Recorder` is one."""

  def start(self, run: str, epochs: int, done: int) -> None:
    """A run begins, of which `done` epochs were restored."""

  def epoch(
    self,
    run: str,
    epoch: int,
    seeds: Sequence[int],
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
  ) -> None:
    """An epoch is over; the values are `[seeds]` each."""


class Experiment(NamedTuple):
  """A request that has been checked against the data and the devices.

  Attributes:
    settings: Resolved settings.
    dataset: The data.
    source: The examples that the student sees; None where only a teacher
      trains.
  """

  settings: Settings
  dataset: data.Dataset
  source: data.Source | None = None


class Context(NamedTuple):
  """What all runs of an experiment share.

  Attributes:
    settings: Resolved settings.
    dataset: The data.
    workdir: Where models and checkpoints go.
    observer: Is told of every epoch.
    stop: Says when to end early, or None.
  """

  settings: Settings
  dataset: data.Dataset
  workdir: pathlib.Path
  observer: Observer
  stop: loop.StopSignal | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What is trained, on what, and for how long.

  Attributes:
    name: Names its files and lines: `teacher`, `scratch`, `hint`, `distilled`.
    architecture: Name of the model.
    model: The model that trains.
    loss: What it minimises.
    source: The examples it sees.
    key: Draws their order and augmentation.
    epochs: How often it sees them.
    seeds: One student each.
    epoch_offset: Epochs before this stage, so that stages continue one order.
    teacher: The teacher, or None.
    teacher_variables: Its variables.
    cached: Its outputs, in place of running it in every epoch, or None.
    start: Stacked variables to start from, or None for fresh ones.
    freeze_unreached: Leave alone the parameters that the loss does not reach.
    classifier_of: The teacher whose classifier it answers with, or None.
  """

  name: str
  architecture: str
  model: Model
  loss: LossTransform
  source: data.Source
  key: jax.Array
  epochs: int
  seeds: tuple[int, ...]
  epoch_offset: int = 0
  teacher: Model | None = None
  teacher_variables: Any = None
  cached: CachedTeacher | None = None
  start: ModelVariables | None = None
  freeze_unreached: bool = False
  classifier_of: str | None = None
