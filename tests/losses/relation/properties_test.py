"""What both relational losses promise: invariance, masks, finite slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import losses as reference

from kdjax import losses

# Compiled once per shape and dtype for the whole file.
_DISTANCE = jax.jit(jax.value_and_grad(losses.relational_distance_loss))
_ANGLE = jax.jit(jax.value_and_grad(losses.relational_angle_loss))

both = pytest.mark.parametrize('loss', [_DISTANCE, _ANGLE], ids=['rkd', 'rka'])
with_loops = pytest.mark.parametrize(
  ('loss', 'loops'),
  [
    (_DISTANCE, reference.relational_distance),
    (_ANGLE, reference.relational_angle),
  ],
  ids=['distance', 'angle'],
)


def _embeddings(seed, rows=6, dim=4):
  rng = np.random.RandomState(seed)
  return rng.randn(rows, dim), rng.randn(rows, dim) * 5 + 2


def _in_float64(loss, *arrays, **kwargs):
  with jax.enable_x64(True):
    return [np.asarray(x) for x in loss(*arrays, **kwargs)]


@settings(max_examples=15, deadline=None)
@given(
  seed=st.integers(0, 10**6),
  scale=st.floats(0.01, 100),
  loss=st.sampled_from([_DISTANCE, _ANGLE]),
)
def test_invariant_to_rigid_motion_and_scale(seed, scale, loss):
  student, teacher = _embeddings(seed)
  rng = np.random.RandomState(seed)
  rotation = np.linalg.qr(rng.randn(4, 4))[0]
  moved = scale * student @ rotation + 10 * rng.randn(4)
  expected, slope = _in_float64(loss, student, teacher)
  value, moved_slope = _in_float64(loss, moved, teacher)
  assert value == pytest.approx(expected, rel=1e-7)
  np.testing.assert_allclose(
    moved_slope, slope @ rotation / scale, rtol=1e-5, atol=1e-7 / scale
  )
  zero, slope = _in_float64(loss, moved, student)
  np.testing.assert_allclose(zero, 0, atol=1e-14)
  np.testing.assert_allclose(slope, 0, atol=1e-7 / scale)


@both
def test_zero_at_the_teacher_and_not_elsewhere(loss):
  student, teacher = (np.float32(x) for x in _embeddings(0))
  value, slope = loss(student, student)
  # The two sides may be compiled to sums of another order.
  np.testing.assert_allclose(value, 0, atol=1e-11)
  np.testing.assert_allclose(slope, 0, atol=1e-6)
  assert loss(student, teacher)[0] > 1e-3


@both
def test_blind_to_the_order_of_examples(loss):
  student, teacher = _embeddings(1)
  order = np.random.RandomState(0).permutation(6)
  value, slope = _in_float64(loss, student, teacher)
  other, other_slope = _in_float64(loss, student[order], teacher[order])
  assert other == pytest.approx(value, rel=1e-12)
  np.testing.assert_allclose(other_slope, slope[order], rtol=1e-9, atol=1e-12)
  # Only if both are reordered alike.
  assert abs(loss(student[order], teacher)[0] - value) > 1e-3


@with_loops
@pytest.mark.parametrize('padding', [0.0, 1e6, np.nan, np.inf])
def test_padding_is_as_if_absent(loss, loops, padding):
  student, teacher = _embeddings(2)
  keep = np.array([1, 0, 1, 1, 1, 0], bool)
  expected = loops(student[keep], teacher[keep])
  slope = reference.slope(lambda s: loops(s, teacher[keep]), student[keep])
  student[~keep], teacher[~keep] = padding, padding
  # The weights of a batch are a mask: 0 for padding, anything for the rest.
  value, masked_slope = _in_float64(
    loss, student, teacher, mask=keep * np.float32(1.5)
  )
  assert value == pytest.approx(expected, rel=1e-9)
  np.testing.assert_allclose(masked_slope[keep], slope, rtol=1e-6, atol=1e-9)
  np.testing.assert_array_equal(masked_slope[~keep], 0)


@both
def test_mask_of_ones_changes_nothing(loss):
  student, teacher = (np.float32(x) for x in _embeddings(2))
  value, _ = loss(student, teacher)
  masked, _ = loss(student, teacher, mask=np.ones(6, bool))
  np.testing.assert_allclose(masked, value, rtol=1e-5)


def _degenerate():
  student, teacher = (np.float32(x) for x in _embeddings(3))
  duplicates = student[[0, 0, 0, 1, 1, 2]]
  line = np.float32(np.arange(6.0)[:, None] * np.ones(4))
  saturated = 1e4 * np.sign(student)
  yield 'duplicates', duplicates, teacher
  yield 'duplicates in the teacher', student, teacher[[0, 0, 1, 1, 2, 3]]
  yield 'duplicates in both', duplicates, teacher[[0, 0, 1, 1, 2, 3]]
  yield 'all equal', np.ones_like(student), teacher
  yield 'all equal in both', np.full_like(student, 3), np.ones_like(teacher)
  yield 'zeros', np.zeros_like(student), teacher
  yield 'zero row', student * (np.arange(6) > 0)[:, None], teacher
  yield 'line', line, teacher
  yield 'saturated', saturated.astype(np.float32), teacher
  yield 'one example', student[:1], teacher[:1]


@with_loops
@pytest.mark.parametrize(
  ('student', 'teacher'),
  [pytest.param(*case[1:], id=case[0]) for case in _degenerate()],
)
def test_degenerate_embeddings(loss, loops, student, teacher):
  value, slope = loss(student, teacher)
  expected = loops(student, teacher)
  np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-7)
  assert np.isfinite(slope).all()
  if len(student) == 1:
    assert value == 0
    np.testing.assert_array_equal(slope, 0)


@both
@pytest.mark.parametrize('broken', [np.nan, np.inf])
def test_divergence_is_not_hidden(loss, broken):
  student, teacher = (np.float32(x) for x in _embeddings(3))
  student[2, 1] = broken
  assert not np.isfinite(loss(student, teacher)[0])


@both
@pytest.mark.parametrize('valid', [0, 1])
def test_hardly_any_valid_example(loss, valid):
  student, teacher = (np.float32(x) for x in _embeddings(4))
  mask = np.float32(np.arange(6) < valid)
  value, slope = loss(student, teacher, mask=mask)
  assert value == 0
  np.testing.assert_array_equal(slope, 0)


def _adversarial():
  """Within the limits that the docstrings state for the Gram form."""
  rows = 6
  student, teacher = _embeddings(5, rows)
  side = np.where(np.arange(rows) % 2, 1, -1)[:, None]
  first = (np.arange(rows) == 0)[:, None]
  flat = student * [1, 1e-3, 1e-3, 1e-3]
  yield 'plain', student, teacher
  yield 'far from the origin', student + 1e4, teacher - 1e3
  yield 'scales', student * 1e6, teacher * 1e-3
  yield 'great scale', student * 1e15, teacher
  yield 'two clusters', student + 30 * side, teacher
  yield 'outlier', np.where(first, 100 * student, student), teacher
  yield 'nearly on a line', flat, teacher


@both
@pytest.mark.parametrize(
  ('student', 'teacher'),
  [pytest.param(*case[1:], id=case[0]) for case in _adversarial()],
)
def test_float32_is_close_to_float64(loss, student, teacher):
  student, teacher = np.float32(student), np.float32(teacher)
  single, slope = loss(student, teacher)
  assert single.dtype == slope.dtype == np.float32
  double, expected = _in_float64(loss, np.float64(student), np.float64(teacher))
  np.testing.assert_allclose(single, double, rtol=1e-4)
  # What moves the student is the whole gradient, not its smallest entry.
  error = np.linalg.norm(slope - expected) / np.linalg.norm(expected)
  assert error < 1e-2


@with_loops
def test_half_precision_computes_in_float32(loss, loops):
  student, teacher = (
    jnp.asarray(np.float32(x), jnp.bfloat16) for x in _embeddings(6, 12, 40)
  )
  value, slope = loss(student, teacher)
  assert value.dtype == np.float32
  assert slope.dtype == jnp.bfloat16
  expected = loops(np.float64(student), np.float64(teacher))
  assert value == pytest.approx(expected, rel=1e-4)


@both
def test_float32_stays_so_under_x64(loss):
  student, teacher = (np.float32(x) for x in _embeddings(0))
  with jax.enable_x64(True):
    value, slope = jax.eval_shape(loss, student, teacher)
  assert value.dtype == slope.dtype == np.float32


@both
@pytest.mark.parametrize(
  ('student', 'teacher', 'mask'),
  [
    ((3, 4), (2, 4), None),
    ((3,), (3,), None),
    ((3, 2, 2), (3, 4), None),
    ((3, 4), (3, 4), (2,)),
    ((3, 4), (3, 4), (3, 1)),
  ],
)
def test_wrong_shapes(loss, student, teacher, mask):
  mask = None if mask is None else np.ones(mask, np.float32)
  with pytest.raises(losses.RefusedError):
    loss(np.ones(student, np.float32), np.ones(teacher, np.float32), mask=mask)


@pytest.mark.parametrize(
  'loss', [losses.relational_distance_loss, losses.relational_angle_loss]
)
def test_wrong_dtypes(loss):
  for student, teacher in ((int, float), (float, int)):
    with pytest.raises(losses.RefusedError):
      loss(jnp.ones((3, 4), student), jnp.ones((3, 4), teacher))
