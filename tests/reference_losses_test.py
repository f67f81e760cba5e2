"""Every loss against values and gradients of independent implementations.

The cases are float64 numbers computed once by public implementations
(`reference_losses.json` names each source). `KDJAX_REFERENCE_LOSSES` is the
path of another file with the same keys and other shapes.
"""

import os
import pathlib

import jax
import numpy as np
import pytest
from golden_cases import feature, relation, response

_DEFAULT = pathlib.Path(__file__).parent / 'data' / 'reference_losses.npz'
_ARRAYS = np.load(os.environ.get('KDJAX_REFERENCE_LOSSES') or _DEFAULT)
_CASES = {**response.CASES, **feature.CASES, **relation.CASES}
_NAMES = sorted({key.split('/')[0] for key in _ARRAYS.files})


def _group(case: str, kind: str) -> dict[str, np.ndarray]:
  prefix = f'{case}/{kind}/'
  return {
    key.removeprefix(prefix): _ARRAYS[key]
    for key in _ARRAYS.files
    if key.startswith(prefix)
  }


def test_all_of_the_published_cases_are_known():
  assert len(np.load(_DEFAULT).files) == 150
  assert len(_CASES) == 31
  # Neither a case without an adapter nor a file without a case passes.
  assert set(_NAMES) == set(_CASES)


@pytest.mark.parametrize('case', _NAMES)
def test_value_and_gradient(case):
  student, teacher, extra = (
    _group(case, kind) for kind in ('student', 'teacher', 'extra')
  )

  def loss(student, teacher, extra):
    result = _CASES[case](student, teacher, extra)
    return result if isinstance(result, tuple) else (result, {})

  with jax.enable_x64(True):
    (value, after), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
      *jax.tree.map(jax.numpy.asarray, (student, teacher, extra))
    )
  expected = _ARRAYS[f'{case}/loss']
  assert value.dtype == np.float64
  np.testing.assert_allclose(value, expected, rtol=1e-9, atol=0)
  rows = relation.COMPARED.get(case)
  compared = rows(student, teacher) if rows else slice(None)
  wanted = _group(case, 'grad')
  assert wanted.keys() == gradients.keys()
  for name, gradient in wanted.items():
    assert np.isfinite(gradients[name]).all()
    np.testing.assert_allclose(
      gradients[name][compared],
      gradient[compared],
      rtol=1e-7,
      atol=1e-7 * np.abs(gradient).max(),
    )
  memory = _group(case, 'after')
  assert memory.keys() == after.keys()
  for name, wanted_memory in memory.items():
    np.testing.assert_allclose(after[name], wanted_memory, rtol=1e-9)
