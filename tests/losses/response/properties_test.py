"""What every loss on logits owes: finite, exact enough, unmoved by padding."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses import RefusedError
from kdjax.losses.response import (
  decoupled,
  dense,
  direction,
  dist,
  divergences,
  label_smoothing,
  normalised,
  standardised,
  weighted_soft_labels,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

SETTINGS = hypothesis.settings(
  max_examples=12, deadline=None, derandomize=True, database=None
)


def _decoupled_non_target(student, teacher, labels):
  return decoupled.decoupled_parts(student, teacher, labels).non_target


def _without_labels(loss, **hyperparameters):
  return lambda student, teacher, labels: loss(
    student, teacher, **hyperparameters
  )


def _without_teacher(loss, **hyperparameters):
  return lambda student, teacher, labels: loss(
    student, labels, **hyperparameters
  )


DIVERGENCES = {
  'decoupled': decoupled.decoupled_loss,
  'decoupled_non_target': _decoupled_non_target,
  'standardised': _without_labels(standardised.standardised_soft_target_loss),
  'forward_kl': _without_labels(divergences.forward_kl_loss),
  'reverse_kl': _without_labels(divergences.reverse_kl_loss),
  'dense': _without_labels(dense.dense_soft_target_loss),
} | {
  f'jensen_shannon_{beta}': _without_labels(
    divergences.generalised_jensen_shannon_loss, beta=beta
  )
  for beta in (0.3, 1.0)
}
PER_EXAMPLE = DIVERGENCES | {
  'weighted_soft_labels': weighted_soft_labels.weighted_soft_label_loss,
  'normalised': normalised.normalised_loss,
  'label_smoothing': _without_teacher(label_smoothing.label_smoothing_loss),
  'label_smoothing_over_others': _without_teacher(
    label_smoothing.label_smoothing_loss, over_other_classes=True
  ),
  'teacher_free': _without_teacher(label_smoothing.teacher_free_loss),
  'teacher_free_softened': _without_teacher(
    label_smoothing.teacher_free_loss, soften_probabilities=False
  ),
}
COUPLED = {
  'dist': dist.dist_loss,
  'direction': direction.streamlined_direction_loss,
}
ALL = PER_EXAMPLE | {
  name: _without_labels(loss) for name, loss in COUPLED.items()
}

SHAPES = [(4, 5), (4, 2), (1, 1)]
EXTREME = st.sampled_from([-1e4, -1.0, 0.0, 0.5, 1.0, 1e4])


def logits(shape=(4, 5)):
  return hnp.arrays(np.float32, shape, elements=EXTREME)


# Large programs, little optimised, for compiling them takes the time.
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


@_jit
def _everything(student, teacher, labels):
  results = {}
  for name, loss in ALL.items():

    def total(student, loss=loss):
      losses = loss(student, teacher, labels)
      return jnp.sum(losses), losses

    gradient, losses = jax.grad(total, has_aux=True)(student)
    results[name] = losses, gradient
  return results


def everything(student, teacher, labels):
  """Losses and gradients with respect to the student, by name of the loss."""
  return jax.device_get(_everything(student, teacher, labels))


def _labels(shape):
  return np.arange(shape[0], dtype=np.int32) % shape[1]


def _assert_finite_and_exact(student, teacher):
  labels = _labels(student.shape)
  with jax.enable_x64(True):
    expected = everything(
      student.astype(np.float64), teacher.astype(np.float64), labels
    )
  for name, (losses, gradient) in everything(student, teacher, labels).items():
    exact, exact_gradient = expected[name]
    assert losses.dtype == gradient.dtype == np.float32, name
    assert exact.dtype == exact_gradient.dtype == np.float64, name
    assert np.all(np.isfinite(losses)), name
    assert np.all(np.isfinite(gradient)), name
    assert np.all(np.isfinite(exact_gradient)), name
    np.testing.assert_allclose(
      losses, exact, rtol=1e-4, atol=1e-4, err_msg=name
    )


@pytest.mark.parametrize('shape', SHAPES)
def test_extreme_rows(shape):
  rng = np.random.default_rng(0)
  student = rng.choice([-1e4, 0.0, 0.3, 1e4], size=shape).astype(np.float32)
  teacher = rng.choice([-1e4, 0.0, 0.3, 1e4], size=shape).astype(np.float32)
  if shape[0] > 1:
    student[0] = 0  # A zero row, and a duplicate of another.
    student[1] = student[2]
    teacher[2] = teacher[3] = 0.1  # Constant rows.
  _assert_finite_and_exact(student, teacher)
  _assert_finite_and_exact(student, student)
  _assert_finite_and_exact(np.zeros_like(student), np.zeros_like(student))


@hypothesis.given(student=logits(), teacher=logits())
@SETTINGS
def test_float32_is_as_float64(student, teacher):
  _assert_finite_and_exact(student, teacher)


@hypothesis.given(student=logits(), teacher=logits())
@SETTINGS
def test_divergences_are_zero_where_equal_and_never_below(student, teacher):
  labels = _labels(student.shape)
  equal = everything(student, student, labels)
  apart = everything(student, teacher, labels)
  for name in DIVERGENCES:
    losses, gradient = equal[name]
    np.testing.assert_allclose(losses, 0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(gradient, 0, atol=1e-5, err_msg=name)
    assert np.all(np.asarray(apart[name][0]) >= -1e-5), name


def test_coupled_losses_are_zero_where_equal():
  student = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
  results = everything(student, student, _labels(student.shape))
  for name in COUPLED:
    loss, gradient = results[name]
    np.testing.assert_allclose(loss, 0, atol=1e-6, err_msg=name)
    assert np.all(np.isfinite(gradient)), name


def test_per_example_is_vmap_of_one():
  rng = np.random.default_rng(2)
  student, teacher = rng.normal(size=(2, 4, 5)).astype(np.float32)
  labels = _labels(student.shape)

  def one(student, teacher, label):
    return {
      name: loss(student[None], teacher[None], label[None])[0]
      for name, loss in PER_EXAMPLE.items()
    }

  by_one = _jit(jax.vmap(one))(student, teacher, labels)
  results = everything(student, teacher, labels)
  for name, losses in by_one.items():
    assert losses.shape == (4,), name
    np.testing.assert_allclose(
      results[name][0], losses, rtol=1e-5, atol=1e-6, err_msg=name
    )


def test_bfloat16_accumulates_in_float32():
  rng = np.random.default_rng(3)
  student, teacher = jnp.asarray(rng.normal(size=(2, 4, 5)), jnp.bfloat16)
  labels = _labels(student.shape)
  results = everything(student, teacher, labels)
  expected = everything(
    student.astype(jnp.float32), teacher.astype(jnp.float32), labels
  )
  for name, (losses, _) in results.items():
    assert losses.dtype == jnp.float32, name
    np.testing.assert_allclose(
      losses, expected[name][0], rtol=2e-6, atol=1e-6, err_msg=name
    )


def test_gradient_is_the_derivative():
  rng = np.random.default_rng(4)
  student, teacher, towards = rng.normal(size=(3, 4, 5))
  labels, step = _labels(student.shape), 1e-5
  with jax.enable_x64(True):
    results = everything(student, teacher, labels)
    ahead = everything(student + step * towards, teacher, labels)
    behind = everything(student - step * towards, teacher, labels)
  # By definition no gradient flows through the weights of this one.
  for name in set(ALL) - {'weighted_soft_labels'}:
    slope = np.sum(ahead[name][0]) - np.sum(behind[name][0])
    np.testing.assert_allclose(
      np.sum(results[name][1] * towards),
      slope / (2 * step),
      rtol=1e-6,
      err_msg=name,
    )


@pytest.mark.parametrize('name', ALL)
def test_shapes_and_dtypes_are_checked(name):
  good, labels = np.zeros((3, 4), np.float32), _labels((3, 4))
  with pytest.raises(RefusedError):
    ALL[name](good.astype(np.int32), good, labels)
  if 'teacher_free' in name or 'smoothing' in name:
    with pytest.raises(RefusedError):
      ALL[name](good, good, labels[:2])
    with pytest.raises(RefusedError):
      ALL[name](good, good, labels.astype(np.float32))
  else:
    with pytest.raises(RefusedError):
      ALL[name](good, good[:2], labels)
