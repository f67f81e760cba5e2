"""torchvision and timm, which hold the published networks."""

import importlib.util
import pathlib
import re

import pytest
import torch
from torch import library


def torchvision(name):
  """A network of torchvision with random weights."""
  found = importlib.util.find_spec('torchvision')
  if found is None:
    pytest.skip('torchvision is absent.')
  _declare_operators(pathlib.Path(found.submodule_search_locations[0]))
  from torchvision import models

  # Its usual initialisation is slow, and deprecated.
  settings = {'init_weights': False} if name == 'googlenet' else {}
  return getattr(models, name)(weights=None, **settings)


def timm(name):
  """A network of timm with random weights."""
  if importlib.util.find_spec('timm') is None:
    pytest.skip('timm is absent.')
  found = importlib.util.find_spec('torchvision')
  _declare_operators(pathlib.Path(found.submodule_search_locations[0]))
  import timm

  return timm.create_model(name)


def _declare_operators(folder):
  """Declares operators that a build for CUDA cannot load beside a CPU build.

  No network needs them, but torchvision does not import without them.
  """
  if hasattr(torch.ops.torchvision, 'nms'):
    return
  try:
    torch.ops.load_library(folder / '_C.so')
  except OSError:
    text = (folder / '_meta_registrations.py').read_text()
    for name in set(re.findall(r'register_meta\("(\w+)"\)', text)):
      _LIBRARY.define(f'{name}() -> ()')
    for name in set(re.findall(r'torchvision::(\w+)', text)):
      _LIBRARY.define(f'{name}() -> ()')


_LIBRARY = library.Library('torchvision', 'FRAGMENT')
