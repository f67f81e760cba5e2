"""kdjax against plain PyTorch on inputs of other shapes than the published.

What a user of `KDJAX_REFERENCE_LOSSES` does with a file of his own.
"""

import functools
import importlib.util
import os
import pathlib
import subprocess
import sys
from unittest import mock

import jax
import numpy as np
import pytest

pytest.importorskip(
  'torch', reason='PyTorch, which the losses are compared with, is absent.'
)

import torch
from absl import flags

from benchmarks import reference_cases
from benchmarks.pytorch import feature
from kdjax.losses.relation import cka

# In flag values of its own: the experiments, which the tests of the same
# process import, have a `--seed` too.
_FLAGS = flags.FlagValues()
with mock.patch.multiple(
  flags,
  **{
    name: functools.partial(define, flag_values=_FLAGS)
    for name, define in vars(flags).items()
    if name.startswith('DEFINE_')
  },
):
  from benchmarks import reference_losses

_ROOT = pathlib.Path(__file__).parents[1]
_SEEDS = (0, 2)


def _published():
  with np.load(reference_losses.PUBLISHED) as file:
    return {key: file[key] for key in file.files}


@functools.cache
def _own(seed):
  return reference_losses.generate(seed)


@functools.cache
def _golden_test(path):
  """`reference_losses_test.py` as it is where the variable is `path`."""
  file = _ROOT / 'tests' / 'reference_losses_test.py'
  spec = importlib.util.spec_from_file_location('golden_test_of_own', file)
  module = importlib.util.module_from_spec(spec)
  with mock.patch.dict(os.environ, KDJAX_REFERENCE_LOSSES=str(path)):
    spec.loader.exec_module(module)
  return module


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  return tmp_path_factory.mktemp('golden')


def test_pytorch_agrees_with_the_published_file():
  errors = reference_losses.errors(_published())
  assert {key for key in _published() if '/grad/' in key} <= set(errors)
  for key, error in errors.items():
    assert error <= (1e-7 if '/grad/' in key else 1e-9), key


@pytest.mark.parametrize('seed', _SEEDS)
def test_own_files_have_the_published_keys_and_other_shapes(seed):
  own, published = _own(seed), _published()
  assert own.keys() == published.keys()
  for key, array in own.items():
    assert array.dtype == published[key].dtype, key
    assert array.ndim == published[key].ndim, key
  for case in reference_cases.CASES:
    shapes = [
      (own[key].shape, published[key].shape)
      for key in own
      if key.startswith(f'{case}/')
    ]
    assert any(ours != theirs for ours, theirs in shapes), case


@pytest.mark.parametrize('case', reference_cases.CASES)
@pytest.mark.parametrize('seed', _SEEDS)
def test_kdjax_agrees_with_pytorch(directory, seed, case):
  path = directory / f'own_{seed}.npz'
  if not path.exists():
    np.savez(path, **_own(seed))
  module = _golden_test(path)
  module.test_all_of_the_published_cases_are_known()
  module.test_value_and_gradient(case)


def test_an_unknown_case_and_a_wrong_number_fail(tmp_path):
  published = _published()
  hint = {key: x for key, x in published.items() if key.startswith('hint_mse/')}
  unknown = {key.replace('hint_mse', 'new_loss'): x for key, x in hint.items()}
  pkt = {key: x for key, x in published.items() if key.startswith('pkt/')}
  gradient = pkt['pkt/grad/e'].copy()
  gradient[0, 0] += 1e-6 * np.abs(gradient).max()
  path = tmp_path / 'own.npz'
  np.savez(path, **hint, **unknown, **{**pkt, 'pkt/grad/e': gradient})
  result = subprocess.run(
    [
      *(sys.executable, '-m', 'pytest', '-q', '-n0', '-p', 'no:cacheprovider'),
      'tests/reference_losses_test.py',
    ],
    cwd=_ROOT,
    env={**os.environ, 'KDJAX_REFERENCE_LOSSES': str(path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 1, result.stdout
  assert '3 failed, 1 passed' in result.stdout, result.stdout
  for failed in (
    'test_all_of_the_published_cases_are_known',
    'test_value_and_gradient[new_loss]',
    'test_value_and_gradient[pkt]',
  ):
    assert f'FAILED tests/reference_losses_test.py::{failed}' in result.stdout


@pytest.mark.parametrize(
  ('ours', 'plain'),
  [
    (cka.linear_cka_loss, feature.linear_cka_loss),
    (cka.rbf_cka_loss, feature.rbf_cka_loss),
  ],
)
@pytest.mark.parametrize('batch', [5, 8])
def test_centred_kernel_alignment(ours, plain, batch):
  rng = np.random.default_rng(batch)
  x, y = rng.normal(size=(batch, 3, 2)), rng.normal(size=(batch, 7))
  student = torch.tensor(x, requires_grad=True)
  expected = plain(student, torch.tensor(y))
  (wanted,) = torch.autograd.grad(expected, [student])
  with jax.enable_x64(True):
    value, gradient = jax.jit(jax.value_and_grad(ours))(x, y)
  np.testing.assert_allclose(value, expected.item(), rtol=1e-9)
  np.testing.assert_allclose(
    gradient, wanted.numpy(), rtol=1e-7, atol=1e-7 * abs(wanted.numpy()).max()
  )
