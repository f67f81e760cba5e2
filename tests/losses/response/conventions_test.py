"""Conventions of the losses on logits: parts, ends and factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import response as reference

from kdjax.losses.response import (
  decoupled,
  dist,
  divergences,
  weighted_soft_labels,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_RNG = np.random.default_rng(0)
STUDENT = 2 * _RNG.normal(size=(5, 7))
TEACHER = 2 * _RNG.normal(size=(5, 7))
LABELS = np.array([0, 6, 3, 3, 1])


def test_decoupled_loss_weights_its_parts():
  with jax.enable_x64(True):
    actual = decoupled.decoupled_loss(
      STUDENT, TEACHER, LABELS, alpha=2.0, beta=3.0, temperature=2.0
    )
  target, rest = reference.decoupled_parts(STUDENT, TEACHER, LABELS, 2.0)
  np.testing.assert_allclose(actual, 2 * target + 3 * rest, rtol=1e-11)


def test_decoupled_parts_blend_into_soft_targets():
  with jax.enable_x64(True):
    parts = jax.device_get(
      decoupled.decoupled_parts(STUDENT, TEACHER, LABELS, temperature=2.0)
    )
  for i, label in enumerate(LABELS):
    p = reference.softmax(TEACHER[i] / 2)[label]
    expected = 4 * reference.kl(TEACHER[i], STUDENT[i], 2.0)
    np.testing.assert_allclose(
      parts.target[i] + (1 - p) * parts.non_target[i], expected, rtol=1e-10
    )


def test_decoupled_by_hand():
  # Target logits log 2 and 0 against two others at 0: p = 1/2, q = 1/3.
  parts = decoupled.decoupled_parts(
    jnp.zeros((1, 3)),
    jnp.log(jnp.array([[2.0, 1.0, 1.0]])),
    jnp.array([0]),
    temperature=1.0,
  )
  expected = 0.5 * np.log(1.5) + 0.5 * np.log(0.75)
  np.testing.assert_allclose(parts.target, [expected], rtol=1e-6)
  np.testing.assert_array_equal(parts.non_target, [0.0])


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_dist_reaches_the_codes_factor(temperature):
  with jax.enable_x64(True):
    actual = dist.dist_loss(
      STUDENT, TEACHER, temperature=temperature, scale_by_temperature=True
    )
  expected = reference.dist(STUDENT, TEACHER, 1.0, 1.0, temperature)
  np.testing.assert_allclose(actual, temperature**2 * expected, rtol=1e-11)


@pytest.mark.parametrize(
  ('beta', 'end'),
  [(0.0, divergences.forward_kl_loss), (1.0, divergences.reverse_kl_loss)],
)
def test_ends_of_jensen_shannon_are_the_divergences(beta, end):
  with jax.enable_x64(True):
    actual = divergences.generalised_jensen_shannon_loss(
      STUDENT, TEACHER, beta=beta, temperature=2.0
    )
    expected = end(STUDENT, TEACHER, temperature=2.0)
    near = divergences.generalised_jensen_shannon_loss(
      STUDENT, TEACHER, beta=abs(beta - 1e-7), temperature=2.0
    )
  np.testing.assert_allclose(actual, expected, rtol=1e-12)
  # Before the end it vanishes; per distance from the end it tends to the same.
  np.testing.assert_allclose(np.asarray(near) / 1e-7, expected, rtol=1e-5)


def test_jensen_shannon_takes_a_traced_beta():
  def loss(beta):
    return jnp.sum(
      divergences.generalised_jensen_shannon_loss(
        STUDENT.astype(np.float32), TEACHER.astype(np.float32), beta=beta
      )
    )

  gradients = jax.jit(jax.vmap(jax.grad(loss)))(jnp.array([0.0, 0.3, 1.0]))
  assert np.all(np.isfinite(gradients))


def test_weight_of_soft_labels_passes_no_gradient():
  with jax.enable_x64(True):
    student, teacher = jnp.asarray(STUDENT), jnp.asarray(TEACHER)
    at_minimum = jax.jit(
      jax.grad(
        lambda s, t: jnp.sum(
          weighted_soft_labels.weighted_soft_label_loss(s, t, LABELS)
        )
      )
    )
    # Only the soft cross-entropy has a gradient, and it is least where equal.
    np.testing.assert_allclose(at_minimum(teacher, teacher), 0, atol=1e-12)
    assert np.max(np.abs(at_minimum(student, teacher))) > 0.1
