"""Edges and invariances of single losses on logits."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses import RefusedError
from kdjax.losses.response import (
  decoupled,
  dense,
  divergences,
  label_smoothing,
  normalised,
  weighted_soft_labels,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

SETTINGS = hypothesis.settings(
  max_examples=12, deadline=None, derandomize=True, database=None
)
SEEDS = st.integers(0, 2**31)
_jitted = functools.cache(jax.jit)


def _pair(seed, shape=(4, 5)):
  return np.random.default_rng(seed).normal(size=(2, *shape))


def test_decoupled_with_two_classes_is_the_binary_divergence():
  student, teacher = _pair(0, (4, 2))
  labels = np.array([0, 1, 0, 1])
  with jax.enable_x64(True):
    parts = decoupled.decoupled_parts(student, teacher, labels, temperature=1.0)
    np.testing.assert_allclose(
      parts.target, divergences.forward_kl_loss(student, teacher), rtol=1e-12
    )
  np.testing.assert_array_equal(parts.non_target, 0)


def test_decoupled_with_one_class_is_zero():
  parts = decoupled.decoupled_parts(
    jnp.ones((3, 1)), jnp.zeros((3, 1)), jnp.zeros(3, jnp.int32)
  )
  np.testing.assert_array_equal(parts.target, 0)
  np.testing.assert_array_equal(parts.non_target, 0)


def test_decoupled_keeps_small_logits_beside_huge_ones():
  # The divergence among the others must not drown in the target's 1e4.
  student = jnp.array([[1e4, 0.0, 0.0, 0.0]])
  teacher = jnp.array([[1e4, 0.4, 0.0, -0.4]])
  parts = jax.jit(decoupled.decoupled_parts)
  actual = parts(student, teacher, jnp.array([0]))
  expected = parts(
    student.at[0, 0].set(0), teacher.at[0, 0].set(0), jnp.array([0])
  )
  np.testing.assert_allclose(actual.non_target, expected.non_target, rtol=1e-6)
  assert actual.target == 0


@pytest.mark.parametrize('name', ['forward', 'between', 'soft', 'dense'])
def test_class_that_the_teacher_excludes_adds_nothing(name):
  loss = {
    'forward': divergences.forward_kl_loss,
    'between': divergences.generalised_jensen_shannon_loss,
    'soft': lambda s, t: weighted_soft_labels.weighted_soft_label_loss(
      s, t, jnp.zeros(1, jnp.int32)
    ),
    'dense': dense.dense_soft_target_loss,
  }[name]
  student = jnp.array([[0.5, 0.1, -jnp.inf, 0.3]])
  teacher = jnp.array([[0.2, -jnp.inf, -jnp.inf, 0.0]])
  value, gradient = jax.jit(
    jax.value_and_grad(lambda s: jnp.sum(loss(s, teacher)))
  )(student)
  assert np.isfinite(value)
  assert np.all(np.isfinite(gradient))


def test_jensen_shannon_is_bounded_and_symmetric_at_one_half():
  student, teacher = (100 * x for x in _pair(1))
  loss = jax.jit(divergences.generalised_jensen_shannon_loss)
  with jax.enable_x64(True):
    forward = np.asarray(loss(student, teacher))
    np.testing.assert_allclose(forward, loss(teacher, student), rtol=1e-12)
  assert np.all(forward <= np.log(2) + 1e-12)


def test_normalised_non_target_term_is_least_where_equal():
  teacher = _pair(5)[1]
  labels = np.arange(4)

  def non_target(student):
    with_it = normalised.normalised_loss(student, teacher, labels, gamma=2.0)
    without = normalised.normalised_loss(student, teacher, labels, gamma=1.0)
    return jnp.sum(with_it - without)

  with jax.enable_x64(True):
    gradient = jax.jit(jax.grad(non_target))(jnp.asarray(teacher))
  np.testing.assert_allclose(gradient, 0, atol=1e-12)


@pytest.mark.parametrize('classes', [1, 2])
def test_normalised_with_few_classes_has_the_target_term_only(classes):
  student, teacher = _pair(6, (3, classes))
  labels = np.zeros(3, np.int32)
  with jax.enable_x64(True):
    loss = jax.jit(normalised.normalised_loss)
    np.testing.assert_array_equal(
      loss(student, teacher, labels, gamma=9.0),
      loss(student, teacher, labels, gamma=0.0),
    )


@pytest.mark.parametrize('over_other_classes', [True, False])
def test_label_smoothing_is_least_at_the_smoothed_label(over_other_classes):
  classes = 4
  others = 0.2 / (classes - 1) if over_other_classes else 0.2 / classes
  smoothed = np.full((1, classes), others)
  smoothed[0, 2] += 0.8 - (others if over_other_classes else 0)

  def loss(student):
    return jnp.sum(
      label_smoothing.label_smoothing_loss(
        student,
        np.array([2]),
        smoothing=0.2,
        over_other_classes=over_other_classes,
      )
    )

  with jax.enable_x64(True):
    gradient = jax.jit(jax.grad(loss))(np.log(smoothed))
  np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_label_smoothing_of_zero_is_cross_entropy_by_hand():
  student = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
  loss = label_smoothing.label_smoothing_loss(
    student, jnp.array([1]), smoothing=0.0
  )
  np.testing.assert_allclose(loss, [np.log(4)], rtol=1e-6)


def test_teacher_free_is_zero_at_the_virtual_teacher():
  virtual = np.full((2, 5), 0.1 / 4)
  virtual[[0, 1], [3, 0]] = 0.9
  loss = label_smoothing.teacher_free_loss
  labels = np.array([3, 0])
  with jax.enable_x64(True):
    as_logits = loss(virtual / 20, labels, confidence=0.9)
    tempered = loss(
      np.log(virtual),
      labels,
      confidence=0.9,
      student_temperature=20.0,
      soften_probabilities=False,
    )
  np.testing.assert_allclose(as_logits, 0, atol=1e-15)
  np.testing.assert_allclose(tempered, 0, atol=1e-15)


@pytest.mark.parametrize('shape', [(3, 1, 1, 4), (3, 6, 4), (3, 4)])
def test_dense_masked_positions_may_hold_nan(shape):
  student, teacher = _pair(7, shape).astype(np.float32)
  mask = np.random.default_rng(7).integers(0, 2, size=shape[:-1])
  mask[0] = 0
  student[mask == 0] = np.nan
  teacher[mask == 0] = np.nan

  def loss(student):
    losses = dense.dense_soft_target_loss(student, teacher, mask=mask)
    return jnp.sum(losses), losses

  (_, losses), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
    student
  )
  assert losses.shape == (3,)
  assert losses[0] == 0
  assert np.all(np.isfinite(losses))
  np.testing.assert_array_equal(gradient[mask == 0], 0)
  assert np.all(np.isfinite(gradient))


def test_dense_checks_the_mask():
  zeros = jnp.zeros((2, 3, 4))
  with pytest.raises(RefusedError):
    dense.dense_soft_target_loss(zeros, zeros, mask=jnp.ones(2))
