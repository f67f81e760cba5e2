"""What the binaries share: flags from settings, one-line errors, exit codes."""

import contextlib
import dataclasses
import datetime
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
from absl import app, flags, logging

from kdjax import cache, checkpoint, data, recipes, reports, training

FLAGS = flags.FLAGS

# What a teacher's training depends on.
TEACHER_FIELDS = (
  'dataset',
  'data_dir',
  'teacher',
  'teacher_epochs',
  'augmentation',
  'batch_size',
  'optimizer',
  'learning_rate',
  'schedule',
  'weight_decay',
  'clip_norm',
  'data_seed',
  'precision',
  'sync_batch_norm',
  'stream',
  'checkpoint_every',
)

_WORKDIR_HELP = (
  'Where checkpoints, metrics.jsonl, curves.png and summary.json go. Default: '
  'a new directory in runs/.'
)

_DEVICES_HELP = (
  'How many devices share the batch. Default: all that there are. A CPU is one '
  'device unless more are asked for; with one for every core, networks but the '
  'smallest train faster. Batch norm is per device unless --sync_batch_norm.'
)

# Asked for something that cannot be done.
_BAD_REQUEST = 2
_ERRORS = (
  recipes.SettingsError,
  data.DataError,
  cache.CacheError,
  checkpoint.CheckpointError,
  reports.WorkdirError,
  training.DivergenceError,
)
# What may differ between a run and its continuation.
_WHEREABOUTS = ('data_dir',)

_DEFINE: dict[Any, Callable[..., Any]] = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}


def define_flags(only: Collection[str] | None = None) -> None:
  """Defines --workdir, --resume, --devices and a flag per field of Settings.

  Args:
    only: The fields that get a flag; all by default.
  """
  flags.DEFINE_string('workdir', None, _WORKDIR_HELP)
  flags.DEFINE_boolean('resume', False, 'Continue the run in --workdir.')
  flags.DEFINE_integer('devices', None, _DEVICES_HELP, lower_bound=1)
  hints = typing.get_type_hints(recipes.Settings)
  for field in dataclasses.fields(recipes.Settings):
    if only is not None and field.name not in only:
      continue
    kind = hints[field.name]
    if isinstance(kind, types.UnionType):  # int | None and the like
      kind = typing.get_args(kind)[0]
    _DEFINE[kind](field.name, field.default, field.metadata['help'])


def settings_from_flags() -> recipes.Settings:
  """The settings that the flags describe; checked."""
  names = [field.name for field in dataclasses.fields(recipes.Settings)]
  values: dict[str, Any] = {
    name: FLAGS[name].value for name in names if name in FLAGS
  }
  return recipes.Settings(**values)


def split_cpu() -> int | None:
  """Makes the CPU as many devices as --devices says, and returns that.

  Has no effect on GPU and TPU, nor once a backend has started.
  """
  count = FLAGS.devices
  if count:
    # It complains where a backend has started: callers see the devices then.
    with contextlib.suppress(RuntimeError):
      jax.config.update('jax_num_cpu_devices', count)
  return count


def use_devices() -> None:
  """Checks that there are as many devices as --devices says.

  Raises:
    SettingsError: if there are not.
  """
  count, there = split_cpu(), jax.local_devices()
  if count and count != len(there):
    raise recipes.SettingsError(
      'devices', count, f'must be {len(there)}, all {there[0].platform} devices'
    )


def claim_workdir(program: str, settings: recipes.Settings) -> pathlib.Path:
  """The run's own directory, from --workdir and --resume."""
  if FLAGS.resume and not FLAGS.workdir:
    raise reports.WorkdirError('resume=True: needs --workdir')
  workdir = FLAGS.workdir or _new_workdir(program, settings)
  return reports.claim(
    workdir,
    {'program': program, **_deciding(settings)},
    resume=FLAGS.resume,
    # Of runs from before there was such a setting.
    defaults=_deciding(recipes.Settings()),
  )


def _deciding(settings: recipes.Settings) -> dict[str, Any]:
  """The settings that must be the same when a run goes on."""
  return {
    name: value
    for name, value in dataclasses.asdict(settings).items()
    if name not in _WHEREABOUTS
  }


def _new_workdir(program: str, settings: recipes.Settings) -> pathlib.Path:
  now = datetime.datetime.now().strftime('%Y-%m-%d-%H%M%S')
  what = settings.method if program == 'distill' else program
  name = '-'.join([settings.dataset, *what.split(','), now]).replace('/', '-')
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
