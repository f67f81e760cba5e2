"""The examples in docstrings do what they show, and every function has one."""

import doctest
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import pytest

import kdjax
from kdjax import losses, transforms
from kdjax.transforms import connectors


def _modules():
  """Names of all modules whose docstrings have an example."""
  found = []
  for module in pkgutil.walk_packages(kdjax.__path__, 'kdjax.'):
    with open(module.module_finder.find_spec(module.name).origin) as file:
      if '>>> ' in file.read():
        found.append(module.name)
  return found


def _names_for(module):
  """What an example may name without an import.

  Its own module, `jax`, `jnp` and `losses`; in `kdjax.transforms` also the
  public names of that package, and the functions `value` and `shapes`, which
  the docstring of the package defines.
  """
  names = {'jax': jax, 'jnp': jnp, 'losses': losses}
  if not module.__name__.startswith('kdjax.transforms'):
    return names | vars(module)
  for name in transforms.__all__:
    names[name] = getattr(transforms, name)
  shown = doctest.DocTestParser().get_doctest(
    transforms.__doc__, names, 'kdjax.transforms', None, 0
  )
  doctest.DocTestRunner().run(shown, clear_globs=False)
  return names | vars(module) | {k: shown.globs[k] for k in ('value', 'shapes')}


def test_there_are_examples():
  assert _modules()


@pytest.mark.parametrize('name', _modules())
def test_examples(name):
  module = importlib.import_module(name)
  result = doctest.testmod(module, globs=_names_for(module))
  assert result.attempted
  assert not result.failed


def _public_functions():
  """The functions of the losses and transforms, and all connectors."""
  functions = [
    getattr(package, name)
    for package in (losses, transforms)
    for name in package.__all__
    if inspect.isfunction(getattr(package, name))
  ]
  return functions + [getattr(connectors, name) for name in connectors.__all__]


@pytest.mark.parametrize(
  'function',
  _public_functions(),
  ids=lambda x: f'{x.__module__}.{x.__name__}',
)
def test_every_function_has_an_example(function):
  examples = doctest.DocTestParser().get_examples(inspect.getdoc(function))
  assert any(f'{function.__name__}(' in x.source for x in examples)
  assert any(x.want for x in examples)
