"""Weights from PyTorch, and back. No other file reads files of PyTorch.

`load_torch` and `save_torch` convert networks of the zoo; PyTorch is not
needed.
"""

from kdjax.models.pytorch.error import WeightsError
from kdjax.models.pytorch.files import is_weights, read_torch_note
from kdjax.models.pytorch.weights import load_torch, save_torch

__all__ = [
  'WeightsError',
  'is_weights',
  'load_torch',
  'read_torch_note',
  'save_torch',
]


def __dir__() -> list[str]:
  return sorted(__all__)
