"""CRD of padded batches, of any devices and of embeddings of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contrast_problems import problem

from kdjax.losses.relation import contrastive_representation as crd

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@jax.jit
def padded(student, teacher, memory, index, chosen, mask):
  def loss(student):
    return crd.contrastive_representation_loss(
      student, teacher, memory, index, chosen, mask=mask
    )

  return jax.value_and_grad(loss, has_aux=True)(student)


@pytest.mark.parametrize('negatives', [2, 10])
def test_padding_neither_counts_nor_writes(negatives):
  student, teacher, banks, index, chosen = problem(3, negatives=negatives)
  student, teacher, banks = map(np.float32, (student, teacher, banks))
  memory = crd.ContrastMemory(*map(jnp.asarray, banks), jnp.full(2, -jnp.inf))
  (expected, after), gradient = padded(
    student[:3], teacher[:3], memory, index[:3], chosen[:3], np.ones(3)
  )
  student[3:] = teacher[3:] = np.nan
  index[3:], chosen[3:] = 10**6, -(10**6)
  mask = np.array([1, 1, 1, 0])
  (loss, padded_after), padded_gradient = padded(
    student, teacher, memory, index, chosen, mask
  )
  np.testing.assert_allclose(loss, expected, rtol=1e-6)
  for got, wanted in zip(padded_after, after, strict=True):
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
  np.testing.assert_allclose(
    padded_gradient[:3], gradient, rtol=1e-4, atol=1e-6
  )
  np.testing.assert_array_equal(padded_gradient[3:], 0)
  (loss, after), gradient = padded(
    student, teacher, memory, index, chosen, np.zeros(4, int)
  )
  assert loss == 0
  np.testing.assert_array_equal(gradient, 0)
  for got, wanted in zip(after, memory, strict=True):
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize('size', [0.0, 1e4])
def test_finite_for_embeddings_of_any_length(size):
  student, teacher, banks, index, chosen = problem(5)
  memory = crd.ContrastMemory(*jnp.float32(banks), jnp.full(2, -jnp.inf))
  (loss, after), gradient = padded(
    np.float32(size * student),
    np.float32(teacher),
    memory,
    index,
    chosen,
    np.ones(4),
  )
  for x in (loss, gradient, *after):
    assert np.isfinite(x).all()


@pytest.mark.parametrize('devices', [1, 2, 8])
def test_same_on_any_number_of_devices(devices):
  student, teacher, banks, index, chosen = problem(7, batch=8)
  student, teacher, banks = map(np.float32, (student, teacher, banks))
  memory = crd.ContrastMemory(*map(jnp.asarray, banks), jnp.full(2, -jnp.inf))

  def step(student, teacher, index, chosen):
    def loss(scale):
      shard = scale * student, teacher, index, chosen
      s, t, i, c = (jax.lax.all_gather(x, 'batch', tiled=True) for x in shard)
      return crd.contrastive_representation_loss(s, t, memory, i, c)

    gradient, after = jax.grad(loss, has_aux=True)(jnp.ones(()))
    return jax.lax.pmean((gradient, after), 'batch')

  def shard(x):
    return x.reshape(devices, 8 // devices, *x.shape[1:])

  gradient, after = jax.pmap(step, 'batch', out_axes=None)(
    *map(shard, (student, teacher, index, chosen))
  )

  def whole_loss(scale):
    return crd.contrastive_representation_loss(
      scale * student, teacher, memory, index, chosen
    )

  expected, whole = jax.jit(jax.grad(whole_loss, has_aux=True))(jnp.ones(()))
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)
  for got, wanted in zip(after, whole, strict=True):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)
