"""Parts of all binaries: flags, help, errors of one line."""

import contextlib
import dataclasses
import sys
import textwrap
import types
import typing
from collections.abc import (
  Callable,
  Collection,
  Iterator,
  Mapping,
  Sequence,
)
from typing import Any

import jax
from absl import flags, logging

from experiments import processes
from kdjax import (
  cache,
  checkpoint,
  data,
  models,
  options,
  reports,
  training,
)

FLAGS = flags.FLAGS

_WORKDIR_HELP = (
  'Where checkpoints, metrics.jsonl, curves.png and summary.json go. Default: '
  'a new directory in runs/.'
)
_EXTEND_HELP = (
  'With --resume: continue a finished run up to more epochs (--epochs, '
  '--teacher_epochs) under the new schedule.'
)
_DEVICES_HELP = (
  'How many devices share the batch. Default: all that there are. A CPU is one '
  'device unless more are asked for; with one for every core, all networks but '
  'the smallest train faster. Batch norm is per device unless '
  '--sync_batch_norm.'
)

# Asked for something that cannot be done.
_BAD_REQUEST = 2
_ERRORS = (
  options.OptionError,
  data.DataError,
  cache.CacheError,
  checkpoint.CheckpointError,
  models.WeightsError,
  reports.WorkdirError,
  training.DivergenceError,
)
_DEFINE: dict[Any, Callable[..., Any]] = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}
# Title -> names of flags, in the order of --help.
_GROUPS: dict[str, list[str]] = {}
# Names of flags that belong to one binary and decide its result.
OWN: list[str] = []

Asked = Mapping[type, Any]


def define_run_flags() -> None:
  """Defines the flags of a run, its devices and several processes."""
  flags.DEFINE_string('workdir', None, _WORKDIR_HELP)
  flags.DEFINE_boolean('resume', False, 'Continue the run in --workdir.')
  flags.DEFINE_boolean('extend', False, _EXTEND_HELP)
  _GROUPS['Run'] = ['workdir', 'resume', 'extend']
  define_devices_flag()
  _GROUPS['Several processes'] = processes.define_flags()


def define_devices_flag() -> None:
  """Defines --devices."""
  flags.DEFINE_integer('devices', None, _DEVICES_HELP, lower_bound=1)
  _GROUPS.setdefault('Run', []).append('devices')


def define_flags(
  *classes: type,
  without: Collection[str] = (),
  texts: Mapping[str, str] = types.MappingProxyType({}),
) -> None:
  """Defines a flag for every field of classes of options.

  Args:
    *classes: Subclasses of `kdjax.options.Options`; each is a group of --help.
    without: Names of flags that mean nothing to this binary.
    texts: Help texts of flags that mean something else to it, by name.
  """
  for kind in classes:
    hints = typing.get_type_hints(kind)
    title = str(kind.__doc__).splitlines()[0].rstrip('.')
    group = _GROUPS.setdefault(title, [])
    for field in dataclasses.fields(kind):
      name = kind.prefix + field.name  # type: ignore[attr-defined]
      if name in without:
        continue
      hint = hints[field.name]
      if isinstance(hint, types.UnionType):  # int | None and the like
        hint = typing.get_args(hint)[0]
      text = texts.get(name, field.metadata['help'])
      _DEFINE[hint](name, field.default, text)
      group.append(name)


def define_own_flag(
  title: str,
  name: str,
  default: Any,
  text: str,
  *,
  decides: bool = True,
  **bounds: Any,
) -> None:
  """Defines a flag of one binary.

  Args:
    title: The group of --help.
    name: The flag's name.
    default: Its default, whose type is the flag's; None for text.
    text: What it means.
    decides: Whether a run goes on with the same value only.
    **bounds: `lower_bound` of a number.
  """
  kind = str if default is None else type(default)
  _DEFINE[kind](name, default, text, **bounds)
  _GROUPS.setdefault(title, []).append(name)
  if decides:
    OWN.append(name)


def asked(
  *classes: type,
  changes: Mapping[str, Any] = types.MappingProxyType({}),
) -> dict[type, Any]:
  """Options from the flags, by class; checked.

  Args:
    *classes: Subclasses of `kdjax.options.Options`.
    changes: Values in place of those of flags, by flag.

  Raises:
    OptionError: if a value is out of range.
  """
  found = {}
  for kind in classes:
    prefix = kind.prefix  # type: ignore[attr-defined]
    names = [field.name for field in dataclasses.fields(kind)]
    found[kind] = kind(
      **{
        name: changes.get(prefix + name, FLAGS[prefix + name].value)
        for name in names
        if prefix + name in FLAGS
      }
    )
  return found


def split_cpu() -> int | None:
  """Makes the CPU as many devices as --devices says, and returns that.

  Has no effect on GPU and TPU, nor once a backend has started.
  """
  count = FLAGS.devices
  if count:
    # It complains where a backend has started: callers see the devices then.
    with contextlib.suppress(RuntimeError):
      jax.config.update('jax_num_cpu_devices', count)
  processes.join()
  return count


def use_devices() -> None:
  """Checks that there are as many devices as --devices says.

  Raises:
    OptionError: if there are not.
  """
  count, there = split_cpu(), jax.local_devices()
  if count and count != len(there):
    raise options.OptionError(
      'devices', count, f'must be {len(there)}, all {there[0].platform} devices'
    )


@contextlib.contextmanager
def errors() -> Iterator[None]:
  """Ends the program in one line and exit code 2 after a bad request.

  A context, not a function around `app.run`: it adds no frame to a traceback.
  """
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  except _ERRORS as error:
    fail(str(error))
  except training.Interrupted as stop:
    fail(str(stop), code=128 + stop.signal_number)
  except jax.errors.JaxRuntimeError:
    if not processes.several():
      raise
    # A collective without the other process fails with a page of its own.
    fail(processes.LOST, code=1)


def parse(argv: Sequence[str], *, arguments: bool = False) -> list[str]:
  """Parses the flags, for `app.run`; answers --help.

  Args:
    argv: The program and its flags.
    arguments: Whether the binary takes arguments beside its flags.
  """
  if {'--help', '-help', '-h'} & set(argv[1:]):
    print(_help(sys.modules['__main__'].__doc__ or ''))
    sys.exit(0)
  try:
    remaining = FLAGS(argv)
  except flags.Error as error:
    fail(str(error))
  if len(remaining) > 1 and not arguments:
    fail(f'unexpected argument {remaining[1]!r}; flags begin with --')
  return remaining


def _help(doc: str) -> str:
  """The binary's purpose, an example, and its own flags in groups."""
  lines = [doc.strip()]
  for title, names in _GROUPS.items():
    lines += ['', f'{title}:']
    for name in names:
      flag = FLAGS[name]
      default = str(flag.default_as_str or '').strip("'")
      default = f' [{default}]' if default else ''
      text = f'--{name}: {flag.help}{default}'
      lines.append(
        textwrap.fill(text, 80, initial_indent='  ', subsequent_indent='      ')
      )
  return '\n'.join(lines)


def fail(message: str, code: int = _BAD_REQUEST) -> typing.NoReturn:
  """Ends the program with one line."""
  line = ' '.join(message.split())
  known = line.split('=')[0] in FLAGS
  print(f'error: {"--" if known else ""}{line}', file=sys.stderr)
  processes.leave(code)
  sys.exit(code)
