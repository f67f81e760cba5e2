"""What the benchmark on a GPU measures, how long, and beside what."""

import math
import time
from typing import NamedTuple


class Settings(NamedTuple):
  """The choices of a run; `SMOKE` is for trying the code on a CPU.

  Attributes:
    parts: Of `angle`, `vocabulary` and `resnet`, in this order.
    pairs: Depths of teacher and student.
    batches: Images a step.
    seeds: Students that share a teacher.
    precisions: Of `float32` and `bfloat16`.
    over_students: Of `unrolled` and `vmapped`, for more than one seed.
    teacher_batches: How many batches kdjax's teacher answers in one pass.
    torch: Of `eager`, `compile` and `reduce-overhead`.
    examples: Images of an epoch, which is one program in kdjax.
    sizes: Examples of the angle loss.
    dim: Of its embeddings.
    tokens: Of the vocabulary loss.
    vocabulary: Its classes.
    chunks: Tokens whose logits are held at a time.
    side: Of the square matrices whose product is a limit.
    seconds: Spent on each form of a job, at least three runs.
    compile_seconds: After which `torch.compile` is given up.
    deadline: On the clock of `time.monotonic`; no job is begun after it.
  """

  parts: tuple[str, ...] = ('angle', 'vocabulary', 'resnet')
  pairs: tuple[tuple[int, int], ...] = ((56, 20), (110, 20))
  batches: tuple[int, ...] = (64, 128, 1024)
  seeds: tuple[int, ...] = (1, 5)
  precisions: tuple[str, ...] = ('float32', 'bfloat16')
  over_students: tuple[str, ...] = ('unrolled', 'vmapped')
  teacher_batches: tuple[int, ...] = (1, 8)
  torch: tuple[str, ...] = ('eager', 'compile', 'reduce-overhead')
  examples: int = 12288
  sizes: tuple[int, ...] = (256, 1024, 4096)
  dim: int = 512
  tokens: int = 16384
  vocabulary: int = 131072
  chunks: tuple[int, ...] = (256, 1024, 4096)
  side: int = 8192
  seconds: float = 1.0
  compile_seconds: float = 120.0
  deadline: float = math.inf

  @property
  def late(self) -> bool:
    """Whether the time is up."""
    return time.monotonic() > self.deadline


FULL = Settings()
SMOKE = Settings(
  pairs=((8, 8),),
  batches=(4,),
  seeds=(1, 2),
  teacher_batches=(1, 2),
  examples=8,
  sizes=(16, 32),
  dim=16,
  tokens=32,
  vocabulary=512,
  chunks=(8,),
  side=128,
  seconds=0.0,
)
