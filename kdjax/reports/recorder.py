"""Reports of a running experiment: `metrics.jsonl` and a progress bar."""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich import console as rich_console
from rich import progress

METRICS_FILE = 'metrics.jsonl'


class Recorder:
  """Writes a line per epoch, seed and run, and shows a bar per run.

  It is a context manager; `kdjax.training.fit` calls `start` and `epoch`.
  """

  def __init__(
    self,
    workdir: str | pathlib.Path,
    console: rich_console.Console | None = None,
  ):
    self._path = pathlib.Path(workdir) / METRICS_FILE
    self._progress = progress.Progress(
      progress.TextColumn('{task.description:>9}'),
      progress.BarColumn(),
      progress.MofNCompleteColumn(),
      progress.TextColumn('epochs'),
      progress.TimeElapsedColumn(),
      progress.TextColumn('{task.fields[values]}'),
      console=console,
    )
    self._task: progress.TaskID | None = None

  def __enter__(self) -> Self:
    self._progress.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._progress.stop()

  def start(self, run: str, epochs: int, done: int) -> None:
    """Begins a run; drops the lines of epochs that were not saved."""
    self._keep_epochs(run, done)
    self._task = self._progress.add_task(
      run, total=epochs, completed=done, values=''
    )

  def epoch(
    self,
    run: str,
    epoch: int,
    seeds: Sequence[int],
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
  ) -> None:
    """Writes the epoch's values, `[seeds]` each, and moves the bar.

    The bar shows the first of the test values.
    """
    with self._path.open('a') as file:
      for i, seed in enumerate(seeds):
        line = {'run': run, 'seed': int(seed), 'epoch': epoch}
        line |= {f'train_{name}': number(v[i]) for name, v in train.items()}
        line |= {f'test_{name}': number(v[i]) for name, v in test.items()}
        file.write(json.dumps(line) + '\n')
    if self._task is not None:
      loss, (name, values) = train['loss'].mean(), next(iter(test.items()))
      self._progress.update(
        self._task,
        completed=epoch,
        values=f'loss {loss:.4f}  test {name} {values.mean():.4f}',
      )

  def _keep_epochs(self, run: str, done: int) -> None:
    """Drops lines of epochs that a resumed run will repeat."""
    lines = [
      json.dumps(line)
      for line in read_metrics(self._path.parent)
      if line['run'] != run or line['epoch'] <= done
    ]
    write_atomically(self._path, ''.join(line + '\n' for line in lines))


def read_metrics(workdir: str | pathlib.Path) -> list[dict]:
  """Returns the lines of `metrics.jsonl` up to a line that was cut short."""
  path = pathlib.Path(workdir) / METRICS_FILE
  if not path.exists():
    return []
  lines = []
  for text in path.read_text().splitlines():
    try:
      lines.append(json.loads(text))
    except json.JSONDecodeError:
      break  # The process was killed while it wrote; the epoch runs again.
  return lines


def copy_metrics(
  source: str | pathlib.Path,
  target: str | pathlib.Path,
  runs: Mapping[str, str],
) -> None:
  """Copies lines of `metrics.jsonl` of runs that a workdir shares.

  Args:
    source: Workdir of the lines.
    target: Workdir that gets them, before its own lines. It keeps no other
      lines of these runs.
    runs: Names of the runs in the target, by name in the source.
  """
  lines = [
    {**line, 'run': runs[line['run']]}
    for line in read_metrics(source)
    if line['run'] in runs
  ]
  copied = {*runs.values()}
  lines += [x for x in read_metrics(target) if x['run'] not in copied]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  write_atomically(pathlib.Path(target) / METRICS_FILE, text)


def number(value: Any) -> float | None:
  """Returns a number for JSON; None for NaN and infinity."""
  value = float(value)
  return value if math.isfinite(value) else None


def write_atomically(path: pathlib.Path, text: str) -> None:
  """Replaces a file's content; readers see the old or the new content."""
  temporary = path.with_suffix(path.suffix + '.partial')
  temporary.write_text(text)
  os.replace(temporary, path)
