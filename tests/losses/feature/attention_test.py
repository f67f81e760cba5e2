"""Pooling, attention and factor transfer against loops, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import feature_maps as reference

from kdjax.losses.feature import attention, factor_transfer, maps

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

# Student and teacher: a larger student (neither square nor divisible), a larger
# teacher, a map of one position.
PAIRS = [
  ((2, 5, 4, 3), (2, 3, 2, 2)),
  ((2, 2, 2, 3), (2, 4, 4, 1)),
  ((1, 1, 1, 2), (1, 3, 3, 2)),
]


@pytest.mark.parametrize('size', [(4, 6), (2, 3), (3, 4), (7, 9)])
def test_average_pool(check, random_maps, size):
  (x,) = random_maps((2, 4, 6, 3))
  check(maps.average_pool, reference.average_pool(x, *size), x, size=size)


def test_unit_vectors_of_zero():
  x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-13, 0.0]])
  expected = [[0.6, 0.8], [0.0, 0.0], [0.0, 0.0]]
  np.testing.assert_allclose(maps.unit_vectors(x), expected, rtol=1e-6)
  gradient = jax.grad(lambda x: jnp.sum(maps.unit_vectors(x)))(x)
  np.testing.assert_array_equal(gradient[1:], 0)


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize(
  ('p', 'unsquared_norm'), [(2.0, False), (2.0, True), (3.0, False)]
)
def test_attention_transfer(
  check, random_maps, student, teacher, p, unsquared_norm
):
  s, t = random_maps(student, teacher)
  expected = reference.attention_transfer(s, t, p, unsquared_norm)
  check(
    attention.attention_transfer_loss,
    expected,
    s,
    t,
    p=p,
    unsquared_norm=unsquared_norm,
  )


def test_attention_map_by_hand():
  features = jnp.array([[[[1.0, -1.0], [2.0, 0.0]]]])
  # Energies 1 and 2 over sqrt(5).
  expected = np.array([[1.0, 2.0]]) / np.sqrt(5)
  np.testing.assert_allclose(
    attention.attention_map(features), expected, rtol=1e-6
  )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize(('p1', 'p2'), [(2.0, 1.0), (1.0, 1.5)])
def test_factor_transfer(check, random_maps, student, teacher, p1, p2):
  s, t = random_maps(student, teacher)
  expected = reference.factor_transfer(s, t, p1, p2)
  check(factor_transfer.factor_transfer_loss, expected, s, t, p1=p1, p2=p2)


@pytest.mark.parametrize('p2', [1.0, 2.0])
def test_factor_transfer_of_whole_factors(check, random_maps, p2):
  s, t = random_maps((2, 4, 4, 3), (2, 2, 2, 3))
  check(
    factor_transfer.factor_transfer_loss,
    reference.factor_transfer(s, t, p2=p2, whole_factors=True),
    s,
    t,
    p2=p2,
    whole_factors=True,
  )
