"""What the binaries share: flags from settings, one-line errors, exit codes."""

import dataclasses
import datetime
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Sequence

from absl import app, flags, logging

from kdjax import checkpoint, data, recipes, reports, training

FLAGS = flags.FLAGS

_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Where checkpoints, metrics.jsonl, curves.png and summary.json go. Default: '
  'a new directory in runs/.',
)
_RESUME = flags.DEFINE_boolean(
  'resume', False, 'Continue the run that --workdir holds.'
)

# Asked for something that cannot be done.
_BAD_REQUEST = 2
_ERRORS = (
  recipes.SettingsError,
  data.DataError,
  checkpoint.CheckpointError,
  reports.WorkdirError,
  training.DivergenceError,
)
# What may differ between a run and its continuation.
_WHEREABOUTS = ('data_dir',)

_DEFINE = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}


def define_flags(*, without: Collection[str] = ()) -> None:
  """Defines a flag for every field of Settings but some."""
  hints = typing.get_type_hints(recipes.Settings)
  for field in dataclasses.fields(recipes.Settings):
    if field.name in without:
      continue
    kind = hints[field.name]
    if isinstance(kind, types.UnionType):  # int | None and the like
      kind = typing.get_args(kind)[0]
    _DEFINE[kind](field.name, field.default, field.metadata['help'])


def settings_from_flags() -> recipes.Settings:
  """The settings that the flags describe; checked."""
  names = [field.name for field in dataclasses.fields(recipes.Settings)]
  values = {name: FLAGS[name].value for name in names if name in FLAGS}
  return recipes.Settings(**values)


def claim_workdir(program: str, settings: recipes.Settings) -> pathlib.Path:
  """The run's own directory, from --workdir and --resume."""
  if _RESUME.value and not _WORKDIR.value:
    raise reports.WorkdirError('resume=True: needs --workdir')
  asked = {
    name: value
    for name, value in dataclasses.asdict(settings).items()
    if name not in _WHEREABOUTS
  }
  workdir = _WORKDIR.value or _new_workdir(settings)
  return reports.claim(
    workdir, {'program': program, **asked}, resume=_RESUME.value
  )


def _new_workdir(settings: recipes.Settings) -> pathlib.Path:
  now = datetime.datetime.now().strftime('%Y-%m-%d-%H%M%S')
  name = f'{settings.dataset}-{settings.method.replace(",", "-")}-{now}'
  path, number = pathlib.Path('runs', name), 1
  while path.exists():
    path, number = pathlib.Path('runs', f'{name}-{number}'), number + 1
  return path


def run(main: Callable[[Sequence[str]], None]) -> None:
  """Runs a binary; a bad request ends in one line and exit code 2."""
  logging.set_verbosity(logging.ERROR)

  def guarded(argv: Sequence[str]) -> None:
    if len(argv) > 1:
      _fail(f'unexpected argument {argv[1]!r}; flags begin with --')
    try:
      main(argv)
    except _ERRORS as error:
      _fail(str(error))
    except training.Interrupted as stop:
      _fail(str(stop), code=128 + stop.signal_number)

  app.run(guarded, flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
  try:
    return FLAGS(argv)
  except flags.Error as error:
    _fail(str(error))


def _fail(message: str, code: int = _BAD_REQUEST) -> typing.NoReturn:
  """Ends the program with one line."""
  line = ' '.join(message.split())
  known = line.split('=')[0] in FLAGS
  print(f'error: {"--" if known else ""}{line}', file=sys.stderr)
  sys.exit(code)
