"""Soft targets between two heads in their forms, and that they agree."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from kdjax import losses

DIMS = (256, 512)  # of student and teacher
TRAINED = (0, 1)  # the student's hidden states and head


def whole(student_hidden, student_head, teacher_hidden, teacher_head):
  """The usual form: all logits at once."""
  values = losses.soft_target_loss(
    student_hidden @ student_head, teacher_hidden @ teacher_head
  )
  return jnp.mean(values)


def pytorch(student_hidden, student_head, teacher_hidden, teacher_head):
  """The usual form in PyTorch; what follows the logits is float32."""
  import torch

  from benchmarks.pytorch import response

  with torch.no_grad():
    teacher = (teacher_hidden @ teacher_head).float()
  student = (student_hidden @ student_head).float()
  return response.soft_target_loss(student, teacher, temperature=1.0)


def arrays(tokens: int, vocabulary: int) -> list[np.ndarray]:
  """Hidden states and heads whose logits have variance 1."""
  rng = np.random.default_rng(0)
  found = []
  for dim in DIMS:
    found.append(rng.standard_normal((tokens, dim), np.float32))
    head = rng.standard_normal((dim, vocabulary), np.float32)
    found.append(head / np.float32(dim**0.5))
  return found


def pytorch_step(inputs: Sequence[np.ndarray]) -> Callable:
  """Value and gradients in PyTorch, on CPU, as NumPy sees them."""
  from benchmarks.pytorch import steps

  step = steps.value_and_gradients(pytorch, inputs, TRAINED)

  def run():
    value, slopes = step()
    return value.item(), [np.asarray(slope) for slope in slopes]

  return run


def check(name, found, expected) -> None:
  """Raises ValueError unless value and gradients agree as float32 can."""
  (value, slopes), (other, others) = found, expected
  worst = max(
    float(np.abs(a - b).max() / np.abs(b).max())
    for a, b in zip(slopes, others, strict=True)
  )
  if abs(value - other) > 1e-4 * abs(other) or worst > 1e-3:
    raise ValueError(
      f'{name} disagrees with PyTorch: {value}, {other}, {worst}'
    )
