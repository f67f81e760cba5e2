"""The examples in docstrings do what they show."""

import doctest
import importlib
import pkgutil

import jax.numpy as jnp
import pytest

import kdjax
from kdjax import losses


def _modules():
  """Names of all modules whose docstrings have an example."""
  found = []
  for module in pkgutil.walk_packages(kdjax.__path__, 'kdjax.'):
    with open(module.module_finder.find_spec(module.name).origin) as file:
      if '>>> ' in file.read():
        found.append(module.name)
  return found


def test_there_are_examples():
  assert _modules()


@pytest.mark.parametrize('name', _modules())
def test_examples(name):
  module = importlib.import_module(name)
  globs = {'jnp': jnp, 'losses': losses} | vars(module)
  result = doctest.testmod(module, globs=globs)
  assert result.attempted
  assert not result.failed
