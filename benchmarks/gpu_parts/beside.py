"""Whether PyTorch can be measured beside kdjax, and where."""

from collections.abc import Callable
from typing import Any

import jax

from benchmarks.gpu_parts import timing


def absence() -> str:
  """Why PyTorch cannot be measured; empty if it can."""
  try:
    import torch
  except (ImportError, OSError) as error:  # OSError: its libraries are absent
    return f'PyTorch cannot be imported: {error}'
  if jax.default_backend() != 'cpu' and not torch.cuda.is_available():
    return 'PyTorch sees no GPU'
  return ''


def device() -> Any:
  """The `torch.device` that stands beside JAX's."""
  import torch

  return torch.device('cpu' if jax.default_backend() == 'cpu' else 'cuda')


def form(start: Callable[[], Any], steps: int = 1) -> timing.Form:
  """Wraps a function of PyTorch's; memory counts from here."""
  import torch

  if device().type == 'cpu':
    return timing.Form(start, lambda _: None, steps)
  torch.cuda.reset_peak_memory_stats()
  return timing.Form(
    start,
    lambda _: torch.cuda.synchronize(),
    steps,
    torch.cuda.max_memory_allocated,
  )


def total_memory() -> int | None:
  """Bytes of the GPU; None on CPU."""
  import torch

  if device().type == 'cpu':
    return None
  return torch.cuda.get_device_properties(0).total_memory


def versions() -> dict[str, str]:
  """PyTorch's and its cuDNN's, as far as they are installed."""
  try:
    import torch
  except (ImportError, OSError):
    return {}
  cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
  found = {'torch': torch.__version__}
  return found | ({'cuDNN of torch': str(cudnn)} if cudnn else {})
