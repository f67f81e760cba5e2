"""What `dir` shows of a package is what it promises."""

import importlib
import pkgutil

import pytest

import kdjax

_PACKAGES = [
  'kdjax',
  'kdjax.transforms.connectors',
  *(
    module.name
    for module in pkgutil.iter_modules(kdjax.__path__, 'kdjax.')
    if module.ispkg
  ),
]


@pytest.mark.parametrize('name', _PACKAGES)
def test_dir_shows_the_api(name):
  package = importlib.import_module(name)
  assert dir(package) == sorted(package.__all__)
  assert len(set(package.__all__)) == len(package.__all__)
  assert all(hasattr(package, x) for x in package.__all__)
