"""The working directories of binaries, and what goes into them."""

import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from experiments import common
from experiments.provenance import provenance
from kdjax import reports, training
from kdjax.training import Experiment

# Options that may differ once a finished run is extended. The epochs of a first
# stage may be said where they were a default; their number stays the same.
MAY_GROW = ('epochs', 'teacher_epochs', 'checkpoint_every', 'hint_epochs')
# Options that may differ between a run and its continuation.
_WHEREABOUTS = ('data_dir',)


def claim_workdir(
  program: str,
  given: Mapping[str, Any],
  classes: Iterable[type],
  *words: str,
  extended_from: int | None = None,
) -> pathlib.Path:
  """The run's own directory, from --workdir and --resume.

  Args:
    program: The binary's name.
    given: The options that decide the result, by flag; kept in settings.json.
    classes: Their classes.
    *words: Parts of the name of a new directory.
    extended_from: Epochs of the finished run that is to go on, or None.
  """
  if common.FLAGS.resume and not common.FLAGS.workdir:
    raise reports.WorkdirError('resume=True: needs --workdir')
  settings = {
    'program': program,
    **{name: common.FLAGS[name].value for name in common.OWN},
    **given,
  }
  return claim(
    lambda: common.FLAGS.workdir or _new_workdir(words or (program,)),
    settings,
    classes,
    resume=common.FLAGS.resume,
    extended_from=extended_from,
  )


def claim(
  workdir: Callable[[], str | pathlib.Path],
  settings: dict[str, Any],
  classes: Iterable[type],
  *,
  resume: bool,
  extended_from: int | None = None,
) -> pathlib.Path:
  """`reports.claim` on the first process; all processes get its directory.

  Args:
    workdir: Gives the directory.
    settings: The content of settings.json.
    classes: Classes of options, whose defaults older files lack.
    resume: Whether a run of the same settings may go on.
    extended_from: Epochs of the finished run that is to go on, or None.
  """
  # Older runs had not all options.
  defaults = defaults_of(classes)

  def claimed() -> str:
    place = workdir()
    if extended_from is not None:
      reports.extend(
        place,
        settings,
        extended_from,
        may_differ=MAY_GROW,
        defaults=defaults,
      )
    return str(reports.claim(place, settings, resume=resume, defaults=defaults))

  try:
    return pathlib.Path(training.told_by_first(claimed))
  except ValueError as error:
    raise reports.WorkdirError(str(error)) from error


def defaults_of(classes: Iterable[type]) -> dict[str, Any]:
  """The defaults of the options that must be the same when a run goes on."""
  return deciding({kind: kind() for kind in classes})


def flags_of(*classes: type) -> dict[str, Any]:
  """The flags of classes of options that decide a result, as they are set."""
  return {
    kind.prefix + field.name: common.FLAGS[kind.prefix + field.name].value  # type: ignore[attr-defined]
    for kind in classes
    for field in dataclasses.fields(kind)
    if field.name not in _WHEREABOUTS
  }


def deciding(given: common.Asked) -> dict[str, Any]:
  """The options that must be the same when a run goes on, by flag."""
  return {
    kind.prefix + name: value  # type: ignore[attr-defined]
    for kind, values in given.items()
    for name, value in dataclasses.asdict(values).items()
    if name not in _WHEREABOUTS
  }


def _new_workdir(words: Sequence[str]) -> pathlib.Path:
  now = datetime.datetime.now().strftime('%Y-%m-%d-%H%M%S')
  # Data of one's own are named by a path, whose last part says enough.
  words = [
    pathlib.PurePath(word).stem
    if word.startswith(('folder:', 'arrays:'))
    else word
    for word in words
  ]
  name = '-'.join([*words, now]).replace('/', '-').replace(',', '-')
  path, number = pathlib.Path('runs', name), 1
  while path.exists():
    path, number = pathlib.Path('runs', f'{name}-{number}'), number + 1
  return path


@contextlib.contextmanager
def running(
  program: str,
  given: common.Asked,
  experiment: Experiment,
  *words: str,
  extended_from: int | None = None,
) -> Iterator[Experiment]:
  """Gives the experiment its workdir, its observer and its signals.

  Args:
    program: The binary's name.
    given: From `asked`; kept in settings.json.
    experiment: Without them.
    *words: Parts of the name of a new directory.
    extended_from: Epochs of the finished run that is to go on, or None.
  """
  workdir = claim_workdir(
    program, deciding(given), given, *words, extended_from=extended_from
  )
  first = training.is_first()
  seen = reports.Recorder(workdir) if first else contextlib.nullcontext()
  with training.StopSignal() as stop, seen as observer:
    yield experiment._replace(
      workdir=workdir, observer=observer or training.Nobody(), stop=stop
    )


def report(
  workdir: pathlib.Path,
  summarise: Callable[[], dict[str, Any]],
  show: Callable[[dict[str, Any]], None],
) -> None:
  """Writes and prints what was found, on the first process.

  Args:
    workdir: Where summary.json and curves.png go.
    summarise: Gives the summary.
    show: Prints it.
  """
  if training.is_first():
    summary = {**summarise(), 'provenance': provenance()}
    before = reports.read_settings(workdir).get('extended_from')
    if before is not None:
      summary['extended_from'] = before
    reports.write_summary(workdir, summary)
    reports.plot_curves(workdir)
    show(summary)
    print(f'Written to {workdir}')
