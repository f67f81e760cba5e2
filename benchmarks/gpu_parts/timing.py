"""Several forms of one job, in turns, for as long as there is time."""

import contextlib
import gc
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from benchmarks import side_by_side

_LEAST = 3  # runs
_RUN = 0.02  # seconds; below it waiting for the device would be measured
_MOST_CALLS = 100


class Form(NamedTuple):
  """One implementation, ready to run.

  Attributes:
    start: Begins `steps` steps; what it returns is for `wait`.
    wait: Returns when that is done.
    steps: Steps of one start.
    memory: Peak bytes on the device after a run, or None where unknown.
  """

  start: Callable[[], Any]
  wait: Callable[[Any], object] = jax.block_until_ready
  steps: int = 1
  memory: Callable[[], int | None] = lambda: None


class Timing(NamedTuple):
  """What was found.

  Attributes:
    seconds: Of a step, the median; None if the form failed.
    compile_seconds: What the first start took longer than the median.
    memory: Peak bytes on the device, where known.
    runs: How many were timed.
    note: Why it failed.
  """

  seconds: float | None = None
  compile_seconds: float | None = None
  memory: int | None = None
  runs: int = 0
  note: str = ''


class _Ready(NamedTuple):
  form: Form
  first: float
  calls: int
  memory: int | None

  def run(self) -> None:
    """As many starts as take long enough to be timed, then one wait."""
    for _ in range(self.calls):
      result = self.form.start()
    self.form.wait(result)


def take_turns(
  makers: Mapping[str, Callable[[], Form]],
  seconds: float,
  *,
  limits: Mapping[str, float] | None = None,
) -> dict[str, Timing]:
  """Times forms in turns; one that fails says why and stops no other.

  Args:
    makers: Name to a function that sets the form up. Setting up is not timed.
    seconds: To spend on each, three runs at least.
    limits: Name to seconds after which its set-up is given up.
  """
  ready: dict[str, _Ready] = {}
  found: dict[str, Timing] = {}
  for name, make in makers.items():
    print(f'({name}: setting up)', file=sys.stderr, flush=True)
    try:
      with _given_up_after((limits or {}).get(name)):
        ready[name] = _prepared(make())
    except Exception as error:  # one row must not cost the others
      found[name] = Timing(note=_reason(error))
  runs = {name: one.run for name, one in ready.items()}
  try:
    taken = side_by_side.turns(runs, _LEAST, seconds)
  except Exception as error:
    return found | {name: Timing(note=_reason(error)) for name in ready}
  for name, one in ready.items():
    of_run = statistics.median(taken[name]) / one.calls
    found[name] = Timing(
      of_run / one.form.steps,
      max(one.first - of_run, 0.0),
      one.memory,
      len(taken[name]),
    )
  return {name: found[name] for name in makers}


def _prepared(form: Form) -> _Ready:
  """Compiles and warms up."""
  start = time.perf_counter()
  form.wait(form.start())
  first = time.perf_counter() - start
  form.wait(form.start())  # once more: CUDA graphs are recorded here
  start = time.perf_counter()
  form.wait(form.start())
  once = time.perf_counter() - start
  calls = min(max(int(_RUN / max(once, 1e-9)), 1), _MOST_CALLS)
  return _Ready(form, first, calls, form.memory())


@contextlib.contextmanager
def _given_up_after(seconds: float | None) -> Iterator[None]:
  """Raises TimeoutError within the block; only in Python, not in XLA."""
  if not seconds or not hasattr(signal, 'setitimer'):
    yield
    return

  def stop(*_):
    raise TimeoutError(f'not set up within {seconds:g} s')

  before = signal.signal(signal.SIGALRM, stop)
  signal.setitimer(signal.ITIMER_REAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _reason(error: Exception) -> str:
  """One short line for the table."""
  lines = str(error).strip().splitlines() or ['']
  return f'{type(error).__name__}: {lines[0]}'[:160]


def clear() -> None:
  """Gives back what the last job's programs and arrays hold."""
  gc.collect()
  jax.clear_caches()
  torch = sys.modules.get('torch')
  if torch is not None:
    torch.compiler.reset()
    torch.cuda.empty_cache()


def peak_bytes() -> int | None:
  """The most that JAX has held on its device so far; None on CPU."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get('peak_bytes_in_use')
