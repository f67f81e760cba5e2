"""Value and gradients of a loss in PyTorch, as functions to be timed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def value_and_gradients(
  loss: Callable[..., Tensor],
  inputs: Sequence[np.ndarray],
  trained: Sequence[int],
  *,
  device: torch.device | str = 'cpu',
  dtype: torch.dtype | None = None,
  mode: str = 'eager',
) -> Callable[[], tuple[Tensor, list[Tensor]]]:
  """A function of no arguments; what it returns stays on the device.

  Args:
    loss: Of the inputs; returns a scalar.
    inputs: Copied to the device at once.
    trained: Which of them want gradients.
    device: Where to.
    dtype: Cast to, or None.
    mode: See `compiled`.
  """
  tensors = [torch.tensor(x).to(device, dtype) for x in inputs]
  leaves = [tensors[i].requires_grad_() for i in trained]
  loss = compiled(loss, mode)

  def step():
    if mode == 'reduce-overhead':
      torch.compiler.cudagraph_mark_step_begin()
    value = loss(*tensors)
    return value.detach(), list(torch.autograd.grad(value, leaves))

  return step


def compiled(function: Callable, mode: str) -> Callable:
  """The function as it is, or by `torch.compile`.

  Args:
    function: To compile.
    mode: `eager`, `compile` (defaults), or a mode of `torch.compile` such as
      `reduce-overhead` (CUDA graphs).
  """
  if mode == 'eager':
    return function
  return torch.compile(function, mode=None if mode == 'compile' else mode)


def allow_tf32() -> None:
  """Float32 products in TF32, as JAX has them by default; tuned kernels."""
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
