"""RKD-A against loops, and the memory that it needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import losses as reference

from kdjax.losses import relational_angle_loss

# Compiled once per shape for the whole file.
_LOSS = jax.jit(jax.value_and_grad(relational_angle_loss, argnums=(0, 1)))


def _embeddings(seed):
  rng = np.random.RandomState(seed)
  return rng.randn(5, 4), rng.randn(5, 3) * 5 + 2


@pytest.mark.parametrize('seed', [0, 1])
def test_matches_loops(seed):
  student, teacher = _embeddings(seed)
  with jax.enable_x64(True):
    value, slopes = _LOSS(student, teacher)
  assert value.shape == ()
  assert value.dtype == np.float64
  expected = reference.relational_angle(student, teacher)
  np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-14)
  # Both, for a loss never stops a gradient by itself.
  differences = (
    reference.slope(lambda s: reference.relational_angle(s, teacher), student),
    reference.slope(lambda t: reference.relational_angle(student, t), teacher),
  )
  for slope, expected in zip(slopes, differences, strict=True):
    assert slope.dtype == np.float64
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-9)


def test_matches_loops_without_jit():
  student, teacher = _embeddings(0)
  with jax.enable_x64(True):
    value = relational_angle_loss(jnp.asarray(student), jnp.asarray(teacher))
  expected = reference.relational_angle(student, teacher)
  assert value == pytest.approx(expected, rel=1e-9)


def test_by_hand():
  # On a line in the order 0, 1, 2 the cosine is 1 at the ends and -1 in the
  # middle; in the right triangle it is 0 at vertex 1, 3/5 at 0 and 4/5 at 2.
  student = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], np.float32)
  teacher = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]], np.float32)
  # Every angle is counted as (i, j, k) and (k, j, i); those with i = k are 0.
  expected = 2 * (0.4**2 / 2 + 1.0**2 / 2 + 0.2**2 / 2) / 27
  value, _ = _LOSS(student, teacher)
  assert value == pytest.approx(expected, rel=1e-5)


def test_opposite_angles_are_in_the_linear_part():
  student = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], np.float32)
  teacher = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]], np.float32)
  # Cosines of 1 and -1 change places at vertices 1 and 2: |2| - 1/2 each.
  value, _ = _LOSS(student, teacher)
  assert value == pytest.approx(2 * (1.5 + 1.5) / 27, rel=1e-5)


def test_coincident_corners_count_as_cosine_zero():
  student, teacher = _embeddings(2)
  student[1], teacher[3] = student[0], teacher[2]
  with jax.enable_x64(True):
    value, slopes = _LOSS(student, teacher)
  expected = reference.relational_angle(student, teacher)
  assert value == pytest.approx(expected, rel=1e-9)
  assert all(np.isfinite(slope).all() for slope in slopes)


def test_never_holds_differences_or_all_angles():
  rows, dim = 256, 64
  differences, angles = 4 * rows**2 * dim, 4 * rows**3
  needed = _temporary_bytes(relational_angle_loss, rows, dim)
  # Measured on CPU: 4.5 and 18 times less.
  assert needed < differences / 3
  assert needed < angles / 10
  # The measure sees what it should: the usual form holds the angles.
  assert _temporary_bytes(_usual_form, rows, dim) > angles


def _temporary_bytes(loss, rows, dim):
  x = jax.ShapeDtypeStruct((rows, dim), np.float32)
  compiled = jax.jit(jax.value_and_grad(loss)).lower(x, x).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def _usual_form(student, teacher):
  def cosines(x):
    difference = x[:, None, :] - x[None, :, :]
    squared = jnp.sum(difference**2, axis=-1, keepdims=True)
    unit = difference * jax.lax.rsqrt(squared + 1e-12)
    return jnp.einsum('jid,jkd->jik', unit, unit)

  return jnp.mean((cosines(student) - cosines(teacher)) ** 2)
