"""Soft targets between two heads: chunked, whole, and PyTorch.

python -m benchmarks.vocabulary

Value and gradients of the student's hidden states and head, float32. All must
agree before a time is printed. Needs the extra `benchmarks` (PyTorch, on CPU).
"""

import functools
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import side_by_side
from kdjax import losses

_REPEATS = flags.DEFINE_integer('repeats', 5, 'Runs of each.', lower_bound=1)
_TOKENS = flags.DEFINE_integer('tokens', 2048, 'Tokens.', lower_bound=1)
_VOCABULARY = flags.DEFINE_integer('vocabulary', 16384, 'Classes.')
_DIMS = (256, 512)  # of student and teacher
_CHUNKS = (128, 512, 1024)


def whole(student_hidden, student_head, teacher_hidden, teacher_head):
  """The usual form: all logits at once."""
  values = losses.soft_target_loss(
    student_hidden @ student_head, teacher_hidden @ teacher_head
  )
  return jnp.mean(values)


def arrays(tokens: int, vocabulary: int) -> list[np.ndarray]:
  """Hidden states and heads whose logits have variance 1."""
  rng = np.random.default_rng(0)
  found = []
  for dim in _DIMS:
    found.append(rng.normal(size=(tokens, dim)).astype(np.float32))
    head = rng.normal(size=(dim, vocabulary)) / dim**0.5
    found.append(head.astype(np.float32))
  return found


def pytorch(inputs: list[np.ndarray]):
  """The usual form in PyTorch, as a function without arguments."""
  import torch

  from benchmarks.pytorch import response

  tensors = [torch.tensor(x) for x in inputs]
  leaves = [tensors[i].requires_grad_() for i in (0, 1)]

  def step():
    for leaf in leaves:
      leaf.grad = None
    with torch.no_grad():
      teacher = tensors[2] @ tensors[3]
    loss = response.soft_target_loss(
      tensors[0] @ tensors[1], teacher, temperature=1.0
    ).mean()
    loss.backward()
    return loss.item(), [np.asarray(leaf.grad) for leaf in leaves]

  return step


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  try:
    import torch
  except ImportError:
    sys.exit(
      "skipped: PyTorch is not installed; pip install -e '.[benchmarks]'"
    )
  inputs = arrays(_TOKENS.value, _VOCABULARY.value)
  forms = {'whole logits': whole} | {
    f'chunks of {chunk}': functools.partial(
      losses.linear_soft_target_loss, chunk=chunk
    )
    for chunk in _CHUNKS
  }
  steps, memory = {'PyTorch': pytorch(inputs)}, {'PyTorch': ''}
  for name, form in forms.items():
    compiled = (
      jax.jit(jax.value_and_grad(form, argnums=(0, 1))).lower(*inputs).compile()
    )
    steps[name] = functools.partial(_run, compiled, inputs)
    memory[name] = f'{side_by_side.temporary_bytes(compiled) / 1e6:.1f}'
  expected = steps['PyTorch']()
  for name, step in steps.items():
    _check(name, step(), expected)
  seconds = side_by_side.medians(steps, _REPEATS.value)
  print(side_by_side.environment(torch=torch.__version__))
  print(f'{_TOKENS.value} tokens, vocabulary {_VOCABULARY.value}, dims {_DIMS}')
  reference = seconds['whole logits']
  print(
    side_by_side.markdown(
      ['form', 'ms', 'of whole logits', 'temporary MB'],
      [
        [name, f'{1e3 * s:.0f}', f'{s / reference:.2f}', memory[name]]
        for name, s in seconds.items()
      ],
    )
  )


def _run(compiled, inputs):
  return jax.block_until_ready(compiled(*inputs))


def _check(name, found, expected) -> None:
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


if __name__ == '__main__':
  app.run(main)
