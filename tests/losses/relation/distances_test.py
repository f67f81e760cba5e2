"""RKD-D against loops, and its convention for coincident rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import losses as reference

from kdjax.losses import relational_distance_loss

# Compiled once per shape for the whole file.
_LOSS = jax.jit(jax.value_and_grad(relational_distance_loss, argnums=(0, 1)))


def _embeddings(seed):
  rng = np.random.RandomState(seed)
  student, teacher = rng.randn(6, 4), rng.randn(6, 3) * 5 + 2
  # One distant row, for the linear part of the smooth L1 loss.
  student[5] *= 30
  return student, teacher


def _check(student, teacher):
  """Value and gradient against the loops and their differences."""
  with jax.enable_x64(True):
    value, slopes = _LOSS(student, teacher)
  assert value.shape == ()
  assert value.dtype == np.float64
  expected = reference.relational_distance(student, teacher)
  np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-14)
  # Both, for a loss never stops a gradient by itself.
  differences = (
    reference.slope(
      lambda s: reference.relational_distance(s, teacher), student
    ),
    reference.slope(
      lambda t: reference.relational_distance(student, t), teacher
    ),
  )
  for slope, expected in zip(slopes, differences, strict=True):
    assert slope.dtype == np.float64
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('seed', [0, 1])
def test_matches_loops(seed):
  _check(*_embeddings(seed))


def test_coincident_rows_count_as_the_authors_count_them():
  student, teacher = _embeddings(2)
  student[1], teacher[3] = student[0], teacher[2]
  _check(student, teacher)


def test_matches_loops_without_jit():
  student, teacher = _embeddings(0)
  with jax.enable_x64(True):
    value = relational_distance_loss(jnp.asarray(student), jnp.asarray(teacher))
  expected = reference.relational_distance(student, teacher)
  assert value == pytest.approx(expected, rel=1e-9)


def test_by_hand():
  # Distances 1, 1, 2 over their mean 4/3; and 3, 4, 5 over their mean 4.
  student = np.array([[0.0], [1.0], [2.0]], np.float32)
  teacher = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]], np.float32)
  # Pairs (01, 12, 02): 3/4 - 3/4, 3/4 - 1, 3/2 - 5/4; each counted twice.
  expected = 2 * (0 + 0.25**2 / 2 + 0.25**2 / 2) / 9
  value = jax.jit(relational_distance_loss)(student, teacher)
  assert value == pytest.approx(expected, rel=1e-5)
