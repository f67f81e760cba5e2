"""Functional knowledge distillation in JAX.

The subpackages load when they are first named, so that `import kdjax` and
`import kdjax.losses` stay free of flax, orbax and tensorflow-datasets.
"""

import importlib
from typing import Any

__version__ = '0.1.0'

_SUBPACKAGES = (
  'analysis',
  'cache',
  'checkpoint',
  'data',
  'deploy',
  'losses',
  'methods',
  'models',
  'options',
  'recipes',
  'reports',
  'tasks',
  'training',
  'transforms',
)

__all__ = ['__version__', 'citation', *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
  if name in _SUBPACKAGES:
    return importlib.import_module(f'kdjax.{name}')
  if name == 'citation':
    return importlib.import_module('kdjax.citations').citation
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted(__all__)
