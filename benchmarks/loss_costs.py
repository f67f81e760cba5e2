"""What the losses cost, from the compiler, and their defaults, from the code.

Nothing is executed: a loss and its gradient are compiled at two batch sizes.

```bash
python -m benchmarks.loss_costs          # prints the table
python -m benchmarks.loss_costs --write  # puts it into docs/losses.md
```
"""

import inspect
import pathlib
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks import loss_cases
from kdjax import losses

_WRITE = flags.DEFINE_bool(
  'write', False, 'Replace the table in docs/losses.md instead of printing it.'
)

DOCUMENT = pathlib.Path(__file__).parents[1] / 'docs' / 'losses.md'
_BLOCK = re.compile(
  r'(?<=<!-- costs:begin -->\n).*?(?=<!-- costs:end -->)', re.DOTALL
)
_HEADER = """\
| loss | defaults | FLOPs | FLOPs, 2N | temporaries | temporaries, 2N |
|---|---|---|---|---|---|
"""
_LOOP_MARK = '†'
_ROOMS = ('response', 'feature', 'relation')
_WIDTH = 100
_PREFIXES = ('', 'K', 'M', 'G', 'T')


class Cost(NamedTuple):
  """What XLA says of a compiled loss and its gradient.

  Attributes:
    flops: Floating point operations; the body of a loop counts once.
    temporaries: Bytes beside arguments and results.
    loops: Whether there is a loop.
  """

  flops: float
  temporaries: int
  loops: bool


def names() -> list[str]:
  """The exported losses, room by room."""

  def place(name):
    _, _, room, *_ = getattr(losses, name).__module__.split('.')
    return _ROOMS.index(room), name

  return sorted((x for x in losses.__all__ if x.endswith('_loss')), key=place)


def defaults(name: str) -> str:
  """A loss's hyperparameters, for markdown; those without default by name."""
  found = []
  for parameter in inspect.signature(getattr(losses, name)).parameters.values():
    if parameter.default is not parameter.empty:
      found.append(f'`{parameter.name}={parameter.default!r}`')
    elif parameter.kind is parameter.KEYWORD_ONLY:
      found.append(f'`{parameter.name}`')
  return ', '.join(found)


def objective(name: str) -> Callable[..., tuple[jax.Array, Any]]:
  """The mean of a loss, and its new state if it has one."""
  loss, keywords = getattr(losses, name), loss_cases.CASES[name].keywords

  def mean(*arguments):
    result = loss(*arguments, **keywords)
    value, state = result if isinstance(result, tuple) else (result, None)
    return jnp.mean(value), state

  return mean


def measure(name: str, batch: int) -> Cost:
  """Compiles a loss and its gradient for `batch` examples."""
  case = loss_cases.CASES[name]
  step = jax.value_and_grad(objective(name), case.trained, has_aux=True)
  compiled = jax.jit(step).lower(*case.arguments(batch)).compile()
  analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
  if analysis is None or memory is None:
    raise RuntimeError(f'{jax.default_backend()} has no cost analysis.')
  return Cost(
    flops=analysis['flops'],
    temporaries=memory.temp_size_in_bytes,
    # An instruction, not a computation that happens to be named so.
    loops=re.search(r'[ )}]while\(', compiled.as_text() or '') is not None,
  )


def table() -> str:
  """The caption and the table, as markdown."""
  size = loss_cases.BATCH
  lines = []
  for name in names():
    single, double = measure(name, size), measure(name, 2 * size)
    mark = f' {_LOOP_MARK}' if single.loops or double.loops else ''
    cells = (
      f'`{name}`',
      defaults(name),
      quantity(single.flops, 1000, '') + mark,
      _ratio(single.flops, double.flops) + mark,
      quantity(single.temporaries, 1024, 'iB'),
      _ratio(single.temporaries, double.temporaries),
    )
    lines.append(f'| {" | ".join(cells)} |\n')
  return f'{_caption(size)}\n\n{_HEADER}{"".join(lines)}'


def _caption(size: int) -> str:
  text = (
    'Produced by `python -m benchmarks.loss_costs --write` with jax '
    f'{jax.__version__} on {jax.default_backend()}: each loss and its gradient '
    f'at N = {size}, and the growth from N to 2N. Sizes: {loss_cases.SIZES}. '
    'Temporaries are what the program needs beside its arguments and results. '
    f'{_LOOP_MARK}: loops over the examples; the body counts once, so the true '
    'FLOPs are up to N times as many. Calls of libraries (Cholesky, triangular '
    'solve) count none. Temporaries vary with compiler and backend.'
  )
  return textwrap.fill(text, _WIDTH, break_on_hyphens=False)


def quantity(value: float, base: int, unit: str) -> str:
  """`1.5 M` of base 1000, `1.5 MiB` of base 1024; three digits."""
  power = 0
  while value >= base and power < len(_PREFIXES) - 1:
    value, power = value / base, power + 1
  text = f'{value:.3g}' if value < 999.5 else f'{value:.0f}'
  prefix = _PREFIXES[power]
  return f'{text} {prefix}{unit if prefix else unit[-1:]}'.rstrip()


def _ratio(single: float, double: float) -> str:
  return f'x{double / single:.1f}' if single else '-'


def replaced(text: str, block: str) -> str:
  """The document with another block between its two marks.

  Raises:
    ValueError: if it does not have them, once.
  """
  result, count = _BLOCK.subn(lambda _: block, text)
  if count != 1:
    raise ValueError(
      f'{DOCUMENT.name} must have <!-- costs:begin --> and <!-- costs:end --> '
      f'once, got {count} such blocks.'
    )
  return result


def main(argv: Sequence[str]) -> None:
  """Prints the table or writes it."""
  if len(argv) > 1:
    raise app.UsageError(f'takes no arguments, got {argv[1:]}.')
  block = table()
  if not _WRITE.value:
    print(block, end='')
    return
  text = DOCUMENT.read_text(encoding='utf-8')
  DOCUMENT.write_text(replaced(text, block), encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
