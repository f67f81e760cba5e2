"""Losses that couple examples beside PyTorch: time, memory, agreement.

python -m benchmarks.relational

Value and gradient of the student, float32, the same inputs. Both must agree in
float64 before a time is printed. Needs the extra `benchmarks` (PyTorch).
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from absl import app, flags

from benchmarks import side_by_side
from kdjax import losses

_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Runs of each, of which the median is taken.', lower_bound=1
)
_DIM = flags.DEFINE_integer('dim', 512, 'Of the embeddings.', lower_bound=1)

# Both are compared in float64, on this many examples at most: in float32 the
# median in RBF CKA may be another pair of examples, and so may its gradient.
_COMPARED = 128
_VALUE, _GRADIENT = 1e-9, 1e-6


class Case(NamedTuple):
  """Two implementations of one formula.

  Attributes:
    name: Of the loss.
    ours: `(student, teacher) -> scalar`, in JAX.
    theirs: The same in PyTorch.
    shape: Of the inputs.
  """

  name: str
  ours: Callable
  theirs: Callable
  shape: tuple[int, ...]


def cases(dim: int) -> list[Case]:
  """The losses, at the sizes they are compared at."""
  from benchmarks.pytorch import feature, relation

  def mean(loss):
    return lambda s, t: loss(s, t).mean()

  polynomial = losses.polynomial_neuron_selectivity_loss
  pairs = {
    'angle': (losses.relational_angle_loss, relation.relational_angle_loss),
    'distance': (
      losses.relational_distance_loss,
      relation.relational_distance_loss,
    ),
    'similarity preserving': (
      losses.similarity_preserving_loss,
      relation.similarity_preserving_loss,
    ),
    'PKT': (
      losses.probabilistic_transfer_loss,
      relation.probabilistic_transfer_loss,
    ),
    'linear CKA': (losses.linear_cka_loss, feature.linear_cka_loss),
    'RBF CKA': (losses.rbf_cka_loss, feature.rbf_cka_loss),
  }
  found = [
    Case(name, *pair, (n, dim))
    for name, pair in pairs.items()
    for n in ((128, 256, 512) if name == 'angle' else (256, 1024))
  ]
  theirs = functools.partial(feature.neuron_selectivity_loss)
  found.append(Case('NST', mean(polynomial), theirs, (64, 8, 8, 64)))
  return found


def measure(case: Case, repeats: int) -> list[str]:
  """One row of the table.

  Raises:
    ValueError: if the two do not agree.
  """
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(2, *case.shape)).astype(np.float32)
  difference = check(case, inputs[:, :_COMPARED].astype(np.float64))
  compiled = jax.jit(jax.value_and_grad(case.ours)).lower(*inputs).compile()
  placed = jax.device_put(tuple(inputs))
  seconds = side_by_side.medians(
    {
      'ours': lambda: jax.block_until_ready(compiled(*placed)),
      'theirs': pytorch(case, inputs),
    },
    repeats,
  )
  memory = side_by_side.temporary_bytes(compiled)
  return [
    case.name,
    ' x '.join(map(str, case.shape)),
    f'{1e3 * seconds["theirs"]:.1f}',
    f'{1e3 * seconds["ours"]:.1f}',
    f'{seconds["theirs"] / seconds["ours"]:.1f}',
    f'{memory / 1e6:.2f}',
    f'{memory / case.shape[0] ** 2:.0f}',
    f'{difference:.0e}',
  ]


def pytorch(case: Case, inputs: np.ndarray) -> Callable:
  """Value and gradient in PyTorch, as a function without arguments."""
  from benchmarks.pytorch import steps

  evaluated = steps.value_and_gradients(case.theirs, list(inputs), (0,))

  def step():
    value, (slope,) = evaluated()
    return value.item(), np.asarray(slope)

  return step


def check(case: Case, inputs: np.ndarray) -> float:
  """Compares both in float64.

  Returns:
    How much the gradients differ, relative to the largest entry.

  Raises:
    ValueError: if that, or the values' difference, is more than rounding.
  """
  with jax.enable_x64(True):
    value, slope = jax.jit(jax.value_and_grad(case.ours))(*inputs)
    value, slope = float(value), np.asarray(slope)
  other, other_slope = pytorch(case, inputs)()
  apart = abs(value - other) / abs(other)
  difference = np.abs(slope - other_slope).max() / np.abs(other_slope).max()
  if apart > _VALUE or difference > _GRADIENT:
    raise ValueError(
      f'{case.name}: the two disagree, by {apart:.1e} in value and '
      f'{difference:.1e} in gradient'
    )
  return float(difference)


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  torch_version = side_by_side.torch_version()
  print(side_by_side.environment(torch=torch_version))
  header = ['loss', 'inputs', 'PyTorch ms', 'kdjax ms', 'ratio']
  header += ['temporary MB', 'bytes / N^2', 'gradients differ by']
  rows = [measure(case, _REPEATS.value) for case in cases(_DIM.value)]
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
