"""Losses that couple examples beside PyTorch: time, memory, agreement.

python -m benchmarks.relational

Value and gradient of the student, float32, the same inputs. Both must agree
before a time is printed. Needs the extra `benchmarks` (PyTorch, on CPU).
"""

import functools
import sys
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

# Agreement that float32 leaves: of the value, and of the gradient relative to
# its largest entry.
_VALUE, _GRADIENT = 1e-4, 1e-3


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
  import torch

  rng = np.random.default_rng(0)
  student, teacher = rng.normal(size=(2, *case.shape)).astype(np.float32)
  program = jax.jit(jax.value_and_grad(case.ours))
  compiled = program.lower(student, teacher).compile()
  leaf = torch.tensor(student, requires_grad=True)
  fixed = torch.tensor(teacher)

  def ours():
    return jax.block_until_ready(compiled(student, teacher))

  def theirs():
    leaf.grad = None
    value = case.theirs(leaf, fixed)
    value.backward()
    assert leaf.grad is not None  # backward has set it
    return value.item(), leaf.grad.numpy()

  difference = _disagreement(case.name, ours(), theirs())
  seconds = side_by_side.medians({'ours': ours, 'theirs': theirs}, repeats)
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


def _disagreement(name, ours, theirs) -> float:
  """Of the gradients, relative to the largest entry; checked."""
  (value, slope), (other, other_slope) = ours, theirs
  difference = np.abs(slope - other_slope).max() / np.abs(other_slope).max()
  if abs(value - other) > _VALUE * abs(other) or difference > _GRADIENT:
    raise ValueError(
      f'{name}: the two disagree, by {abs(value - other) / abs(other):.1e} in '
      f'value and {difference:.1e} in gradient'
    )
  return float(difference)


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  try:
    import torch
  except ImportError:
    sys.exit(
      "skipped: PyTorch is not installed; pip install -e '.[benchmarks]'"
    )
  print(side_by_side.environment(torch=torch.__version__))
  header = ['loss', 'inputs', 'PyTorch ms', 'kdjax ms', 'ratio']
  header += ['temporary MB', 'bytes / N^2', 'gradients differ by']
  rows = [measure(case, _REPEATS.value) for case in cases(_DIM.value)]
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
