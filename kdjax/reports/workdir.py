"""The working directory of one experiment."""

import json
import pathlib
import types
from collections.abc import Mapping
from typing import Any

from kdjax.reports.recorder import write_atomically

SETTINGS_FILE = 'settings.json'
# Key of the epochs that an extended run had before; decides no result.
EXTENDED_FROM = 'extended_from'
FAILURE_FILE = 'failed.json'


class WorkdirError(ValueError):
  """A directory cannot hold the run; the message is one line."""


def claim(
  workdir: str | pathlib.Path,
  settings: dict[str, Any],
  *,
  resume: bool,
  defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> pathlib.Path:
  """Creates the directory, or resumes in it; overwrites nothing.

  Args:
    workdir: The directory.
    settings: Settings that decide the result, as JSON; saved in
      `settings.json`.
    resume: Whether an experiment of the same settings may continue.
    defaults: Values of settings that the saved file does not name.

  Returns:
    The directory.

  Raises:
    WorkdirError: if it is no directory of kdjax, holds another experiment, or
      holds the same experiment without `resume`.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / SETTINGS_FILE
  if workdir.exists() and not workdir.is_dir():
    raise WorkdirError(f'workdir={workdir}: must be a directory')
  if path.exists():
    check_same(
      workdir, {**defaults, **_read(path)}, settings, defaults=defaults
    )
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


def read_settings(workdir: str | pathlib.Path) -> dict[str, Any]:
  """Returns the settings of the run in a directory.

  Raises:
    WorkdirError: if there is no run, or its file is damaged.
  """
  path = pathlib.Path(workdir) / SETTINGS_FILE
  if not path.exists():
    raise WorkdirError(f'workdir={workdir}: holds no run of kdjax')
  return _read(path)


def write_failure(workdir: str | pathlib.Path, reason: str | None) -> None:
  """Writes why a run failed to `failed.json`; None removes the file."""
  path = pathlib.Path(workdir) / FAILURE_FILE
  if reason is None:
    path.unlink(missing_ok=True)
  else:
    write_atomically(path, json.dumps({'reason': reason}, indent=2) + '\n')


def read_failure(workdir: str | pathlib.Path) -> str | None:
  """Returns why a run failed; None if it did not."""
  path = pathlib.Path(workdir) / FAILURE_FILE
  if not path.exists():
    return None
  return str(json.loads(path.read_text())['reason'])


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    settings = json.loads(path.read_text())
  except (OSError, ValueError):
    settings = None
  if not isinstance(settings, dict):
    raise WorkdirError(
      f'workdir={path.parent}: its {SETTINGS_FILE} is not a file of kdjax; '
      'name another directory'
    )
  return settings


def check_same(
  workdir: pathlib.Path,
  saved: Mapping[str, Any],
  settings: Mapping[str, Any],
  *,
  defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> None:
  """Raises WorkdirError for the first setting that differs from the saved one.

  Args:
    workdir: The directory, for the message.
    saved: The saved settings.
    settings: The settings now.
    defaults: Values of settings without their flags.
  """
  for name in sorted((saved.keys() | settings.keys()) - {EXTENDED_FROM}):
    old, new = saved.get(name), settings.get(name)
    if old != new:
      flag = _flag(name, old, defaults) if name in defaults else ''
      raise WorkdirError(
        f'workdir={workdir}: holds a run with {name}={old!r}, not {new!r}; '
        f'{flag}name another directory'
      )


def _flag(name: str, value: Any, defaults: Mapping[str, Any]) -> str:
  """The flag that repeats a saved setting."""
  if value == defaults[name]:
    return f'leave out --{name}, or '
  if isinstance(value, bool):
    return f'say --{"" if value else "no"}{name}, or '
  return f'say --{name}={value}, or '
