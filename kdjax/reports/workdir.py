"""A working directory belongs to one experiment."""

import json
import pathlib
import types
from collections.abc import Mapping
from typing import Any

from kdjax.reports.recorder import write_atomically

SETTINGS_FILE = 'settings.json'


class WorkdirError(ValueError):
  """A directory that holds something else; one line."""


def claim(
  workdir: str | pathlib.Path,
  settings: dict[str, Any],
  *,
  resume: bool,
  defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> pathlib.Path:
  """Makes the directory, or takes it up again; writes over nothing.

  Args:
    workdir: The directory.
    settings: What decides the result, as JSON; kept in `settings.json`.
    resume: Whether an experiment of the same settings may be continued.
    defaults: What settings were that it was begun without.

  Returns:
    The directory.

  Raises:
    WorkdirError: if it holds another experiment, or the same one without
      `resume`.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / SETTINGS_FILE
  if workdir.exists() and not workdir.is_dir():
    raise WorkdirError(f'workdir={workdir}: must be a directory')
  if path.exists():
    _check_same(workdir, {**defaults, **_read(path)}, settings)
    if not resume:
      raise WorkdirError(
        f'workdir={workdir}: holds a run of these settings; continue it with '
        '--resume, or name another directory'
      )
  elif workdir.exists() and any(workdir.iterdir()):
    raise WorkdirError(
      f'workdir={workdir}: must be new or empty, or hold a run to resume'
    )
  else:
    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=2) + '\n')
  return workdir


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    settings = json.loads(path.read_text())
  except ValueError:
    settings = None
  if not isinstance(settings, dict):
    raise WorkdirError(
      f'workdir={path.parent}: its {SETTINGS_FILE} is not one of kdjax; name '
      'another directory'
    )
  return settings


def _check_same(
  workdir: pathlib.Path, saved: dict[str, Any], settings: dict[str, Any]
) -> None:
  for name in sorted(saved.keys() | settings.keys()):
    if saved.get(name) != settings.get(name):
      raise WorkdirError(
        f'workdir={workdir}: holds a run with {name}={saved.get(name)!r}, '
        f'not {settings.get(name)!r}; name another directory'
      )
