"""Every loss under every device idiom: one device's value and gradient."""

import functools

import idioms
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import losses as cases

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

# These average their tokens, as a mean over examples does.
_MEANS = {name for name in cases.CASES if name.startswith('linear_')} - {
  'linear_cka_loss',
  'linear_neuron_selectivity_loss',
}


def _mixed(arrays, params):
  """Arrays of the student, each times a matrix along its last axis."""
  highest = jax.lax.Precision.HIGHEST
  return jax.tree.map(
    lambda x, matrix: jnp.matmul(x, matrix, precision=highest), arrays, params
  )


def _matrix(x):
  size = x.shape[-1]
  noise = np.random.default_rng(size).normal(size=(size, size)) / 10
  return (np.eye(size) + noise).astype(np.float32)


def _problem(name):
  """`value(params, batch, axis)`, parameters, and the batch by place."""
  case = cases.CASES[name]
  arguments = cases.draw(name)
  params = {i: jax.tree.map(_matrix, arguments[i]) for i in case.student}
  batch = {i: arguments[i] for i in case.batched}

  def value(params, batch, axis_name):
    given = [batch.get(i, x) for i, x in enumerate(arguments)]
    for i in case.student:
      given[i] = _mixed(given[i], params[i])
    gathers = axis_name and case.scalar and name not in _MEANS
    if gathers:
      for i in batch:
        given[i] = jax.tree.map(
          lambda x: jax.lax.all_gather(x, axis_name, tiled=True), given[i]
        )
    result = cases.value(name, *given)
    return jax.lax.pmean(result, axis_name) if axis_name else result

  return value, params, batch


@functools.cache
def _expected(name):
  value, params, batch = _problem(name)
  result = jax.device_get(idioms.one_device(value, params, batch))
  assert all(np.abs(x).max() > 1e-6 for x in jax.tree.leaves(result[1]))
  return result


@pytest.mark.parametrize('idiom', idioms.IDIOMS)
@pytest.mark.parametrize('name', cases.CASES)
def test_value_and_gradient_are_those_of_one_device(name, idiom):
  result = idioms.IDIOMS[idiom](*_problem(name))
  expected = _expected(name)
  assert jax.tree.structure(result) == jax.tree.structure(expected)
  for actual, right in zip(
    jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
  ):
    size = np.abs(right).max()
    np.testing.assert_allclose(
      jnp.asarray(actual), right, rtol=1e-5, atol=1e-5 * size
    )
