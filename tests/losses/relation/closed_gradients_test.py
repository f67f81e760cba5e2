"""Gradients in closed form, against the usual forms through autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import losses

_EPSILON = 1e-7


def _similarity_preserving(x, y):
  def unit(z):
    gram = z @ z.T
    return gram / jnp.sqrt(jnp.sum(gram**2, axis=1, keepdims=True))

  return jnp.mean((unit(x) - unit(y)) ** 2)


def _probabilistic(x, y):
  def shares(z):
    norms = jnp.sqrt(jnp.sum(z**2, axis=1, keepdims=True))
    z = z / (norms + _EPSILON)
    similarity = (1 + z @ z.T) / 2
    return similarity / similarity.sum(axis=1, keepdims=True)

  q, p = shares(x), shares(y)
  return jnp.mean(p * (jnp.log(p + _EPSILON) - jnp.log(q + _EPSILON)))


def _cka(x, y):
  x, y = (z - z.mean(axis=0, keepdims=True) for z in (x, y))
  norms = jnp.sqrt(jnp.sum((x.T @ x) ** 2) * jnp.sum((y.T @ y) ** 2))
  return 1 - jnp.sum((x.T @ y) ** 2) / norms


_PAIRS = {
  'similarity preserving': (
    losses.similarity_preserving_loss,
    _similarity_preserving,
  ),
  'probabilistic': (losses.probabilistic_transfer_loss, _probabilistic),
  'linear CKA': (losses.linear_cka_loss, _cka),
}


@pytest.mark.parametrize('name', _PAIRS)
@pytest.mark.parametrize('dims', [(3, 4), (9, 40)])  # below, above the batch
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('size', [1.0, 1e-5])  # small: the epsilon of PKT shows
def test_of_student_and_teacher(name, dims, masked, size):
  ours, usual = _PAIRS[name]
  rng = np.random.default_rng(3)
  x, y = (size * rng.normal(size=(12, dim)) for dim in dims)
  with jax.enable_x64(True):
    expected = jax.jit(jax.value_and_grad(usual, argnums=(0, 1)))(x, y)
    mask = None
    if masked:  # padding changes nothing, whatever it holds
      mask = np.r_[np.ones(5), np.zeros(3), np.ones(7)]
      x, y = (np.insert(z, [5] * 3, np.nan, axis=0) for z in (x, y))
    found = jax.jit(
      jax.value_and_grad(lambda *z: ours(*z, mask=mask), argnums=(0, 1))
    )(x, y)
  value, slopes = jax.device_get(found)
  np.testing.assert_allclose(value, expected[0], rtol=1e-9)
  for slope, wanted in zip(slopes, expected[1], strict=True):
    if masked:
      np.testing.assert_array_equal(slope[5:8], 0)
      slope = np.delete(slope, [5, 6, 7], axis=0)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(slope, wanted, rtol=1e-7, atol=1e-9 * scale)
