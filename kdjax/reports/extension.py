"""A finished run that goes on for more epochs."""

import json
import pathlib
import types
from collections.abc import Collection, Mapping
from typing import Any

from kdjax.reports.recorder import write_atomically
from kdjax.reports.summary import SUMMARY_FILE
from kdjax.reports.workdir import (
  EXTENDED_FROM,
  SETTINGS_FILE,
  WorkdirError,
  check_same,
  read_settings,
)


def extend(
  workdir: str | pathlib.Path,
  settings: dict[str, Any],
  epochs: int,
  *,
  may_differ: Collection[str],
  defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> pathlib.Path:
  """Gives the directory of a finished run its new settings.

  The summary of the shorter run stays as `summary_EPOCHS.json`; a directory
  without `summary.json` holds a run that has not finished.

  Args:
    workdir: The directory.
    settings: The new settings.
    epochs: The epochs of the run so far, kept under `extended_from`.
    may_differ: Names of settings that may differ from the old ones.
    defaults: Values of settings that the saved file does not name.

  Returns:
    The directory.

  Raises:
    WorkdirError: if there is no run, it has not finished, or other settings
      differ. Nothing is written.
  """
  workdir = pathlib.Path(workdir)
  saved = {**defaults, **read_settings(workdir)}
  kept = {name: saved.get(name) for name in may_differ}
  check_same(workdir, saved, {**settings, **kept}, defaults=defaults)
  summary = workdir / SUMMARY_FILE
  if not summary.exists():
    raise WorkdirError(
      f'workdir={workdir}: holds a run that has not finished; finish it with '
      '--resume and its own settings before --extend'
    )
  summary.rename(workdir / f'summary_{epochs}.json')
  text = json.dumps({**settings, EXTENDED_FROM: epochs}, indent=2)
  write_atomically(workdir / SETTINGS_FILE, text + '\n')
  return workdir
