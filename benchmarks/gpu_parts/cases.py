"""Which distillation of ResNets is measured, and how much work it is."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp

from benchmarks.gpu_parts.report import Job, Work

CLASSES, SIDE = 10, 32

# How often the output of a convolution is moved at least, everything else being
# fused: written and read; and in training read once more, its gradient written
# once and read twice.
_INFERENCE_MOVES, _TRAINING_MOVES = 2, 6


class Case(NamedTuple):
  """One job.

  Attributes:
    depths: Of teacher and student.
    batch: Images a step.
    seeds: Students.
    precision: `float32` or `bfloat16`.
  """

  depths: tuple[int, int]
  batch: int
  seeds: int
  precision: str

  def job(self) -> Job:
    """Name and work, for the report."""
    teacher, student = self.depths
    seeds = f'{self.seeds} seed' + 's' * (self.seeds > 1)
    name = f'ResNet-{teacher} to {student}, {self.batch}, {seeds}'
    moved = _INFERENCE_MOVES * activations(teacher)
    moved += _TRAINING_MOVES * self.seeds * activations(student)
    work = Work(
      self.batch * (flops(teacher) + 3.0 * self.seeds * flops(student)),
      f'{self.precision} product',
      float(self.batch * moved * jnp.dtype(self.precision).itemsize),
    )
    return Job(f'{name}, {self.precision}', work, self.batch, self.seeds)


def _convolutions(depth: int) -> Iterator[tuple[int, int, int]]:
  """Inputs, outputs and side of every convolution of a CIFAR ResNet."""
  yield 3, 16, SIDE
  inputs = 16
  for stage, width in enumerate((16, 32, 64)):
    for _ in range((depth - 2) // 3):
      yield inputs, width, SIDE // 2**stage
      inputs = width


def flops(depth: int) -> float:
  """Of an image's forward pass: products only, a multiply-add being two."""
  products = sum(9 * i * o * side**2 for i, o, side in _convolutions(depth))
  return 2.0 * (products + 64 * CLASSES)


def activations(depth: int) -> int:
  """Numbers that the convolutions return for an image."""
  return sum(width * side**2 for _, width, side in _convolutions(depth))
