"""Soft targets from the teacher's best classes."""

import functools
import itertools

import jax
import numpy as np
import pytest

from kdjax import losses

_TEMPERATURE = 2.0


def _arrays(seed, shape=(5, 8)):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape), 3 * rng.normal(size=shape)


def _log_softmax(x):
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _cached(teacher, k):
  """The k best classes and their log probabilities."""
  log_p = _log_softmax(teacher / _TEMPERATURE)
  indices = np.argsort(-log_p, axis=-1)[:, :k]
  return np.int32(indices), np.take_along_axis(log_p, indices, axis=-1)


def _by_hand(student, teacher, k):
  indices, kept = _cached(teacher, k)
  log_q = _log_softmax(student / _TEMPERATURE)
  values = []
  for row, best, log_p in zip(log_q, indices, kept, strict=True):
    value = sum(
      np.exp(p) * (p - row[i]) for i, p in zip(best, log_p, strict=True)
    )
    others = [np.exp(row[i]) for i in range(len(row)) if i not in best]
    if others:
      rest = 1 - np.exp(log_p).sum()
      value += rest * (np.log(rest) - np.log(sum(others)))
    values.append(_TEMPERATURE**2 * value)
  return np.array(values)


@pytest.mark.parametrize('k', [1, 3, 7, 8])
def test_values_and_gradients(k):
  student, teacher = _arrays(0)
  targets = _cached(teacher, k)
  loss = functools.partial(
    losses.top_k_soft_target_loss, temperature=_TEMPERATURE
  )
  with jax.enable_x64(True):
    values = loss(student, *targets)
    # Read from the device one by one, each element would compile a program.
    slope = np.asarray(jax.grad(lambda s: loss(s, *targets).sum())(student))
  np.testing.assert_allclose(values, _by_hand(student, teacher, k), rtol=1e-9)
  step = 1e-6
  for place in np.ndindex(student.shape):
    moved = student.copy()
    moved[place] += step
    ahead = _by_hand(moved, teacher, k).sum()
    moved[place] -= 2 * step
    behind = _by_hand(moved, teacher, k).sum()
    assert slope[place] == pytest.approx(
      (ahead - behind) / (2 * step), abs=1e-7
    )


def test_all_classes_are_the_full_loss_and_fewer_are_less():
  student, teacher = _arrays(1)
  with jax.enable_x64(True):
    full = np.asarray(
      losses.soft_target_loss(student, teacher, temperature=_TEMPERATURE)
    )
    found = [
      np.asarray(
        losses.top_k_soft_target_loss(
          student, *_cached(teacher, k), temperature=_TEMPERATURE
        )
      )
      for k in range(1, 9)
    ]
  np.testing.assert_allclose(found[-1], full, rtol=1e-9)
  for fewer, more in itertools.pairwise(found):
    assert np.all(fewer <= more + 1e-12)


def test_a_teacher_sure_of_itself_is_finite():
  student = np.float32([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
  indices, kept = np.int32([[1], [2]]), np.float32([[0.0], [0.0]])
  loss = losses.top_k_soft_target_loss
  values = loss(student, indices, kept)
  np.testing.assert_allclose(values, [2e4, np.log(3)], rtol=1e-5)
  slope = jax.grad(lambda s: loss(s, indices, kept).sum())(student)
  assert np.isfinite(slope).all()


def test_in_chunks_from_a_head():
  rng = np.random.default_rng(2)
  hidden, head = rng.normal(size=(5, 4)), rng.normal(size=(4, 8))
  targets = _cached(_arrays(3)[1], 3)
  mask = np.array([1, 0, 1, 1, 0])

  def whole(hidden, head):
    values = losses.top_k_soft_target_loss(
      hidden @ head, *targets, temperature=_TEMPERATURE
    )
    return values[mask > 0].mean()

  def chunked(hidden, head):
    return losses.linear_top_k_soft_target_loss(
      hidden, head, *targets, temperature=_TEMPERATURE, mask=mask, chunk=2
    )

  with jax.enable_x64(True):
    found = jax.value_and_grad(chunked, argnums=(0, 1))(hidden, head)
    expected = jax.value_and_grad(whole, argnums=(0, 1))(hidden, head)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12),
    found,
    expected,
  )
