"""The cells of a sweep: checked, run one after another, read again."""

import contextlib
import dataclasses
import gc
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from experiments import common, networks, processes, wiring, workdirs
from experiments.grid import Cell
from experiments.provenance import provenance
from kdjax import cache, checkpoint, models, recipes, reports, tasks, training
from kdjax.models import Network
from kdjax.options import OptionError
from kdjax.training import (
  Budget,
  Experiment,
  Fitted,
  StopSignal,
  TeacherBudget,
  TeacherOptions,
)

# What ends a cell, not the sweep. A bug is none of them and ends both.
_FAILURES = (
  OptionError,
  cache.CacheError,
  checkpoint.CheckpointError,
  training.DivergenceError,
  jax.errors.JaxRuntimeError,
  MemoryError,
)
_LONGEST_REASON = 300

# The teacher reads these options; those of methods may be unfit without a cell.
TEACHER = (
  tasks.Options,
  models.Options,
  recipes.Options,
  Budget,
  TeacherBudget,
)


def check(cells: Sequence[Cell], opened: wiring.Opened) -> None:
  """Checks every cell, as far as that needs no training.

  Raises:
    OptionError: for the first cell that could not run.
  """
  for cell in cells:
    try:
      wired = _wire(cell, opened)
      known = wired.teacher.variables if wired.teacher else None
      recipes.check(
        wired.experiment,
        wired.student,
        wired.teacher_model,
        wired.method,
        known,
        start=wired.start,
      )
    except OptionError as error:
      raise OptionError('grid', cell.name, str(error)) from error


def run(
  cells: Sequence[Cell],
  workdir: pathlib.Path,
  opened: wiring.Opened,
  stop: StopSignal,
) -> None:
  """Runs the cells that have not finished before.

  A cell that fails leaves the reason in its directory, and the others go on.

  Args:
    cells: The cells, checked.
    workdir: The sweep's directory.
    opened: Data and teachers.
    stop: Notes the signals that end the sweep.

  Raises:
    Interrupted: if a signal asked to stop.
  """
  parts, finished = _Parts(workdir, opened, stop), _finished(cells, workdir)
  for place, cell in enumerate(cells, start=1):
    done = cell.name in finished
    if training.is_first():
      words = ' finished before' if done else ''
      print(f'[{place}/{len(cells)}] {cell.name}{words}', flush=True)
    if done:
      continue
    try:
      _run(cell, parts)
    except _FAILURES as error:
      if isinstance(error, jax.errors.JaxRuntimeError) and processes.several():
        raise  # Another process was lost.
      _note_failure(directory(workdir, cell), error)
    except training.Interrupted as stopped:
      raise training.Interrupted(
        stopped.signal_number,
        f'stopped in cell {cell.name}; continue with --resume '
        f'--workdir={workdir}',
      ) from stopped
    # The programs of a cell are of no use to the next.
    jax.clear_caches()
    gc.collect()


def directory(workdir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The working directory of a cell."""
  return workdir / 'cells' / cell.name


def read(cells: Sequence[Cell], workdir: pathlib.Path) -> list[reports.Entry]:
  """What the cells found, or why they failed."""
  found = []
  for cell in cells:
    place = directory(workdir, cell)
    summary = reports.read_summary(place)
    if summary is None:
      reason = reports.read_failure(place) or 'did not run'
      found.append(reports.Entry(cell.name, cell.settings, failed=reason))
    else:
      found += reports.entries(cell.name, cell.settings, summary)
  return found


class _Parts:
  """What cells share: each teacher and each student from scratch, made once."""

  def __init__(
    self, workdir: pathlib.Path, opened: wiring.Opened, stop: StopSignal
  ):
    self.workdir, self.opened, self.stop = workdir, opened, stop
    self._known: dict[tuple[str, str], Any] = {}

  def teacher(self, cell: Cell) -> Network:
    """The teacher of a cell, with its measures."""
    return self._once('teacher', cell.teacher, lambda: self._taught(cell))

  def scratch(self, cell: Cell, wired: wiring.Wiring) -> Fitted | bool:
    """The students from scratch of a cell; False without."""
    if not wired.scratch:
      return False
    name = cell.scratch
    return self._once('scratch', name, lambda: self._alone(name, wired))

  def _taught(self, cell: Cell) -> Network:
    given = common.asked(*TEACHER, changes=cell.of_teacher)
    asked = given[models.Options]
    dataset, task = self.opened.load(given[tasks.Options])
    experiment = Experiment(task, given[Budget], self.workdir)
    if asked.teacher_checkpoint:
      asked = dataclasses.replace(
        asked, student=None, student_mean=None, student_std=None
      )
      teacher = self.opened.load_teacher(asked, dataset)
      return training.evaluate_network(experiment, teacher)
    with self.observed(experiment, self.workdir, cell.teacher) as own:
      return recipes.train_teacher(
        own,
        networks.make_teacher(given, dataset),
        wiring.teacher_task(given, experiment, task),
        epochs=wiring.teacher_epochs(given),
        budget=given[TeacherBudget].of(given[Budget]),
      )

  def _alone(self, name: str, wired: wiring.Wiring) -> Fitted:
    with self.observed(wired.experiment, self.workdir, name) as experiment:
      fitted = recipes.train_scratch(experiment, wired.student, wired.start)
    # The device has other things to hold.
    return fitted._replace(variables=jax.device_get(fitted.variables))

  @contextlib.contextmanager
  def observed(
    self, experiment: Experiment, workdir: pathlib.Path, name: str = ''
  ) -> Iterator[Experiment]:
    """Gives an experiment its workdir, observer, signals, and part."""
    first = training.is_first()
    seen = reports.Recorder(workdir) if first else contextlib.nullcontext()
    with seen as observer:
      own = experiment._replace(
        workdir=workdir, observer=observer or training.Nobody(), stop=self.stop
      )
      yield own.part(name) if name else own

  def _once(self, kind: str, name: str, make: Callable[[], Any]) -> Any:
    """Makes a part, or fails as it failed before."""
    key = kind, name
    if key not in self._known:
      try:
        self._known[key] = make()
      except _FAILURES as error:
        # Without its frames, which hold arrays.
        self._known[key] = error.with_traceback(None)
    found = self._known[key]
    if isinstance(found, Exception):
      raise found
    return found


def _run(cell: Cell, parts: _Parts) -> None:
  """Runs a cell in its own directory, from its last checkpoint."""
  start = time.perf_counter()
  wired = _wire(cell, parts.opened, parts.workdir)
  settings = workdirs.deciding(_asked(cell))
  place = workdirs.claim(
    lambda: directory(parts.workdir, cell),
    {'program': 'sweep', **settings},
    wiring.DISTILLATION,
    resume=True,
  )
  if training.is_first():
    reports.write_failure(place, None)
  teacher, scratch = parts.teacher(cell), parts.scratch(cell, wired)
  if training.is_first():
    names = {'teacher': cell.teacher, 'scratch': cell.scratch}
    shared = {f'{part}/{x}' if part else x: x for x, part in names.items()}
    reports.copy_metrics(parts.workdir, place, shared)
  with parts.observed(wired.experiment, place) as experiment:
    result = recipes.distil(
      experiment,
      wired.student,
      teacher,
      wired.method,
      scratch=scratch,
      start=wired.start,
    )
  if training.is_first():
    summary = recipes.summarise(result, time.perf_counter() - start)
    reports.plot_curves(place)
    # A cell with a summary has finished.
    summary |= {'settings': settings, 'provenance': provenance()}
    reports.write_summary(place, summary)


def _asked(cell: Cell) -> dict[type, Any]:
  return common.asked(*wiring.DISTILLATION, changes=cell.changes)


def _wire(
  cell: Cell, opened: wiring.Opened, workdir: pathlib.Path | None = None
) -> wiring.Wiring:
  """The objects of a cell; its cache lies where those that share it find it."""
  given = _asked(cell)
  options = given[TeacherOptions]
  home = options.cache_dir or (workdir and workdir / 'teacher_cache')
  if home and options.cache in ('memory_map', 'array_store'):
    place = str(pathlib.Path(home) / cell.cache)
    given[TeacherOptions] = dataclasses.replace(options, cache_dir=place)
  return wiring.wire(given, opened=opened)


def _finished(cells: Sequence[Cell], workdir: pathlib.Path) -> set[str]:
  """The names of cells with a summary; the same on all processes."""

  def names() -> str:
    return json.dumps(
      [
        cell.name
        for cell in cells
        if reports.read_summary(directory(workdir, cell)) is not None
      ]
    )

  return {*json.loads(training.told_by_first(names))}


def _note_failure(place: pathlib.Path, error: Exception) -> None:
  reason = ' '.join(str(error).split())[:_LONGEST_REASON]
  if training.is_first():
    place.mkdir(parents=True, exist_ok=True)
    reports.write_failure(place, reason or type(error).__name__)
    print(f'failed: {reason}', flush=True)
