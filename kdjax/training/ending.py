"""Early ends of training: signals, and losses that diverge."""

import signal
from types import FrameType
from typing import Any, Self

import numpy as np


class DivergenceError(RuntimeError):
  """A loss is no longer finite; the message is one line: which, and when."""


class Interrupted(Exception):  # noqa: N818 (an end that was asked for)
  """Training stopped on a signal, after it saved its states."""

  def __init__(self, signal_number: int, message: str):
    super().__init__(message)
    self.signal_number = signal_number


class StopSignal:
  """Notes SIGTERM and SIGINT, so that a run can end between two epochs.

  A second signal of the same kind has its usual effect at once.
  """

  def __init__(self) -> None:
    self.number: int | None = None
    self._before: dict[int, Any] = {}

  def __enter__(self) -> Self:
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, frame: FrameType | None) -> None:
    del frame
    self.number = number
    signal.signal(number, self._before[number])


def check_finite(metrics: dict[str, np.ndarray], epoch: int) -> None:
  """Raises DivergenceError with the first step and values that diverged."""
  steps = {}
  for name, values in metrics.items():
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
      steps[name] = int(np.argmax(bad))
  if not steps:
    return
  first = min(steps.values())
  # The terms explain more than their sum and its gradient.
  names = [name for name, step in steps.items() if step == first]
  terms = [n for n in names if n not in ('loss', 'gradient_norm')] or names
  step = epoch * len(metrics['loss']) + first
  values = metrics[terms[0]][first].ravel()
  value = values[~np.isfinite(values)][0]
  raise DivergenceError(
    f'{", ".join(terms)} became {value} at step {step} '
    f'(epoch {epoch + 1}); the last good checkpoint is kept'
  )
