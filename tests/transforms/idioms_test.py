"""Every transform under every device idiom: one device's value and gradient."""

import functools

import idioms
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import transforms as cases

from kdjax import transforms
from kdjax.transforms import LossVariables

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_PADDED = (3, 4, 15)


def _matrix(x):
  size = x.shape[-1]
  noise = np.random.default_rng(size).normal(size=(size, size)) / 10
  return (np.eye(size) + noise).astype(np.float32)


@functools.cache
def _owned(name):
  term = cases.TRANSFORMS[name]
  outputs = (
    {**cases.outputs(network), 'head': cases.head(network)}
    for network in ('student', 'teacher')
  )
  return jax.device_get(term.init(jax.random.key(1), *outputs))


def _problem(name, padded):
  """`value(params, batch, axis)`, parameters, and the batch."""
  term, owned = cases.TRANSFORMS[name], _owned(name)
  student = cases.outputs('student')
  real = ~np.isin(np.arange(cases.BATCH), padded)
  # Padding that would change everything, were it looked at.
  teacher = {
    name: np.where(real.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)
    if x.dtype == np.float32
    else x
    for name, x in cases.outputs('teacher').items()
  }
  batch = {
    'student': student,
    'teacher': teacher,
    'batch': cases.batch(padded),
  }
  params = {
    'student': {name: _matrix(x) for name, x in student.items()},
    'head': cases.head('student'),
    'loss': owned.params,
  }

  def value(params, batch, axis_name):
    used = transforms.on_axis(term, axis_name) if axis_name else term
    mixed = {
      name: jnp.matmul(
        x, params['student'][name], precision=jax.lax.Precision.HIGHEST
      )
      for name, x in batch['student'].items()
    }
    # A head is a parameter, the same for all examples.
    mixed['head'] = params['head']
    given = {**batch['teacher'], 'head': cases.head('teacher')}
    found, _, _ = used.apply(
      LossVariables(params['loss'], owned.state),
      mixed,
      given,
      batch['batch'],
      jnp.int32(3),
    )
    return found

  return value, params, batch


@functools.cache
def _expected(name, padded):
  result = idioms.one_device(*_problem(name, padded))
  result = jax.device_get(result)
  assert np.isfinite(result[0])
  largest = max(np.abs(x).max() for x in jax.tree.leaves(result[1]))
  assert np.isfinite(largest)
  assert largest > 1e-7
  return result


@pytest.mark.parametrize('idiom', idioms.IDIOMS)
@pytest.mark.parametrize('name', cases.TRANSFORMS)
def test_value_and_gradient_are_those_of_one_device(name, idiom):
  padded = _PADDED if 'mesh' not in idiom else ()
  result = idioms.IDIOMS[idiom](*_problem(name, padded))
  expected = _expected(name, padded)
  assert jax.tree.structure(result) == jax.tree.structure(expected)
  largest = max(np.abs(x).max() for x in jax.tree.leaves(expected[1]))
  np.testing.assert_allclose(result[0], expected[0], rtol=1e-5)
  for actual, right in zip(
    jax.tree.leaves(result[1]), jax.tree.leaves(expected[1]), strict=True
  ):
    # Gradients that are zero but for rounding (a bias before a batch norm) are
    # measured by the largest of all.
    size = max(np.abs(right).max(), 1e-2 * largest)
    np.testing.assert_allclose(
      jnp.asarray(actual), right, rtol=1e-4, atol=1e-4 * size
    )
