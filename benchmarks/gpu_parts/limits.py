"""What the chip reaches on work that suits it: the limits of the other rows."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.gpu_parts import timing

_MULTIPLY_ADDS = 512  # of each element, in one fused loop


def measure(side: int, seconds: float) -> dict[str, float]:
  """Operations a second, and bytes a second for `copy`.

  `float32 product` is the default precision, which is TF32 on recent NVIDIA
  chips: the benchmark allows it to both sides.

  Args:
    side: Of the square matrices; a copy is of four times as many numbers.
    seconds: For each, three runs at least.
  """
  numbers = 4 * side**2
  work: dict[str, tuple[Callable[[], timing.Form], float]] = {
    f'{dtype} product': (functools.partial(_product, side, dtype), 2 * side**3)
    for dtype in ('float32', 'bfloat16')
  }
  work |= {
    'float32 elementwise': (
      functools.partial(_elementwise, side**2),
      2 * _MULTIPLY_ADDS * side**2,
    ),
    'copy': (functools.partial(_copy, numbers), 2 * 4 * numbers),
  }
  found = {}
  for name, (make, amount) in work.items():
    taken = timing.take_turns({name: make}, seconds)[name]
    if taken.seconds is None:
      raise RuntimeError(f'{name}: {taken.note}')
    found[name] = amount / taken.seconds
    timing.clear()
  return found


def _product(side: int, dtype: str) -> timing.Form:
  keys = jax.random.split(jax.random.key(0))
  a, b = (
    jax.random.normal(key, (side, side), jnp.dtype(dtype)) for key in keys
  )
  return _form(jnp.matmul, a, b)


def _elementwise(numbers: int) -> timing.Form:
  def multiply_adds(x):
    y = x
    for _ in range(_MULTIPLY_ADDS):
      y = y * x + x
    return y

  return _form(multiply_adds, jnp.linspace(0.0, 0.5, numbers))


def _copy(numbers: int) -> timing.Form:
  return _form(jnp.negative, jnp.ones(numbers))


def _form(function: Callable, *arguments: jax.Array) -> timing.Form:
  compiled = jax.jit(function).lower(*arguments).compile()
  return timing.Form(functools.partial(compiled, *arguments))
