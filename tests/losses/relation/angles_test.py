"""RKD-A against loops, and the memory that it needs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
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


@pytest.mark.parametrize(
  'rows', [32, 33, 48, 64, 65, 100, 129, 193, 512, 1024, 2048]
)
def test_memory_is_that_of_a_few_matrices(rows):
  # The usual form holds rows**2 * dim differences and rows**3 angles. Of few
  # rows the centred embeddings themselves count.
  allowed = 64 * rows**2 + (8 * rows * 64 if rows < 128 else 0)
  assert _temporary_bytes(relational_angle_loss, rows, 64) < allowed


def test_the_measure_of_memory_sees_the_usual_form():
  rows = 256
  assert _temporary_bytes(_usual_form, rows, 64) > 4 * rows**3


@pytest.mark.parametrize('rows', [1, 2, 9, 31, 33, 64, 65, 100, 129])
def test_tiles_of_every_size(rows):
  rng = np.random.RandomState(rows)
  x, y = rng.randn(rows, 7), rng.randn(rows, 5)
  with jax.enable_x64(True):
    value, (slope, other) = _LOSS(x, y)
    expected, (usual, usual_other) = _USUAL(x, y)
  np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-15)
  for ours, theirs in ((slope, usual), (other, usual_other)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-11)


def test_float32_gradient_is_that_of_float64():
  rng = np.random.RandomState(0)
  x, y = rng.randn(130, 32), rng.randn(130, 16)
  _, (slope, _) = _LOSS(np.float32(x), np.float32(y))
  with jax.enable_x64(True):
    _, (exact, _) = _LOSS(*(np.float32(a).astype(float) for a in (x, y)))
  error = np.abs(np.float64(slope) - np.asarray(exact)).max()
  assert error < 1e-5 * np.abs(exact).max()


def test_one_side_alone_has_the_same_gradient():
  student, teacher = map(np.float32, _embeddings(1))
  both = _LOSS(student, teacher)[1]
  for side in (0, 1):
    alone = jax.jit(jax.grad(relational_angle_loss, argnums=side))
    np.testing.assert_allclose(
      alone(student, teacher), both[side], rtol=1e-5, atol=1e-8
    )


def _temporary_bytes(loss, rows, dim):
  x = jax.ShapeDtypeStruct((rows, dim), np.float32)
  compiled = jax.jit(jax.value_and_grad(loss)).lower(x, x).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def _usual_form(student, teacher):
  def cosines(x):
    difference = x[:, None, :] - x[None, :, :]
    squared = jnp.sum(difference**2, axis=-1, keepdims=True)
    same = squared == 0
    unit = jnp.where(
      same, 0, difference / jnp.sqrt(jnp.where(same, 1, squared))
    )
    return jnp.einsum('jid,jkd->jik', unit, unit)

  return jnp.mean(optax.losses.huber_loss(cosines(student), cosines(teacher)))


# One program per shape: eighty of one operation took most of the file's time.
_USUAL = jax.jit(jax.value_and_grad(_usual_form, argnums=(0, 1)))
