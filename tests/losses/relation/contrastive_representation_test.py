import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import contrastive_representation as crd

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def problem(seed, *, batch=4, dim=3, examples=30, negatives=5):
  """Student, teacher, banks, index and sample_index, in float64."""
  rng = np.random.default_rng(seed)
  student, teacher = unit(rng.normal(size=(2, batch, dim)))
  banks = rng.normal(size=(2, examples, dim)) / dim**0.5
  index = rng.permutation(examples)[:batch]
  others = rng.integers(0, examples, (batch, negatives))
  chosen = np.concatenate([index[:, None], others], axis=1)
  return student, teacher, banks, index, chosen


def memory_of(banks, log_z=(-np.inf, -np.inf)):
  return crd.ContrastMemory(*map(jnp.asarray, (*banks, np.asarray(log_z))))


@pytest.mark.parametrize('negatives', [5, 20])  # One by one, then dense.
@pytest.mark.parametrize('z', [None, (40.0, 70.0)])
def test_is_the_formula_in_the_first_step_and_later(negatives, z):
  student, teacher, banks, index, chosen = problem(0, negatives=negatives)
  with jax.enable_x64(True):
    memory = memory_of(banks, (-np.inf, -np.inf) if z is None else np.log(z))
    loss, after = jax.jit(crd.contrastive_representation_loss)(
      *map(jnp.asarray, (student, teacher)),
      memory,
      *map(jnp.asarray, (index, chosen)),
    )
    after_z = np.exp(after.log_z)
  expected, *expected_banks, expected_z = (
    reference.contrastive_representation_loss(
      student, teacher, *banks, z, index, chosen
    )
  )
  np.testing.assert_allclose(loss, expected, rtol=1e-9)
  np.testing.assert_allclose(after.student, expected_banks[0], rtol=1e-9)
  np.testing.assert_allclose(after.teacher, expected_banks[1], rtol=1e-9)
  np.testing.assert_allclose(after_z, expected_z, rtol=1e-9)
  np.testing.assert_array_equal(memory.student, banks[0])


def test_gradient_is_the_same_by_either_way(monkeypatch):
  student, teacher, banks, index, chosen = problem(1)

  def run(ratio):
    monkeypatch.setattr(crd, '_DENSE_RATIO', ratio)
    memory = memory_of(banks, (3.0, 3.0))

    def loss(*embeddings):
      return crd.contrastive_representation_loss(
        *embeddings, memory, jnp.asarray(index), jnp.asarray(chosen)
      )[0]

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(student, teacher)

  with jax.enable_x64(True):
    one_by_one, dense = run(0), run(1000)
    step = 1e-6 * np.ones_like(student)
    rest = (teacher, *banks, np.exp((3.0, 3.0)), index, chosen)
    after, before = (
      reference.contrastive_representation_loss(x, *rest)[0]
      for x in (student + step, student - step)
    )
  for a, b in zip(one_by_one, dense, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9)
  slope = (after - before) / 2e-6
  np.testing.assert_allclose(np.asarray(dense[0]).sum(), slope, rtol=1e-6)


@pytest.mark.parametrize('ratio', [0, 1000])
def test_nothing_of_batch_by_negatives_by_dim_is_held(monkeypatch, ratio):
  monkeypatch.setattr(crd, '_DENSE_RATIO', ratio)
  batch, dim, negatives, examples = 16, 8, 31, 40
  x, bank = jnp.zeros((batch, dim)), jnp.zeros((examples, dim))
  chosen = jnp.zeros((batch, 1 + negatives), int)
  memory = crd.ContrastMemory(bank, bank, jnp.zeros(2))

  def loss(x):
    return crd.contrastive_representation_loss(
      x, x, memory, chosen[:, 0], chosen
    )[0]

  compiled = jax.jit(jax.grad(loss)).lower(x).compile()
  temporary = compiled.memory_analysis().temp_size_in_bytes
  assert temporary < 4 * batch * negatives * dim * 2


def test_last_of_duplicate_indices_is_written():
  student, teacher, banks, _, chosen = problem(2)
  index = np.array([7, 3, 7, 3])
  mask = np.array([1, 1, 1, 0])
  _, after = jax.jit(crd.contrastive_representation_loss)(
    jnp.float32(student),
    jnp.float32(teacher),
    crd.ContrastMemory(*jnp.float32(banks), jnp.zeros(2)),
    jnp.asarray(index),
    jnp.asarray(chosen),
    momentum=0.25,
    mask=jnp.asarray(mask),
  )
  expected = np.array(banks[0])
  for place, row in ((7, 2), (3, 1)):
    expected[place] = unit(0.25 * banks[0][place] + 0.75 * student[row])
  np.testing.assert_allclose(after.student, expected, rtol=1e-5)


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


def test_float32_keeps_the_sum_over_many_small_odds():
  """16384 equal roundings of `log(x + c) - log(c)` would show in the sum."""
  numbers = problem(4, batch=2, dim=4, examples=20000, negatives=16384)

  @functools.partial(jax.jit, static_argnums=0)
  def loss(dtype, student, teacher, banks, index, chosen):
    memory = crd.ContrastMemory(*banks, jnp.full(2, -jnp.inf, dtype))
    return crd.contrastive_representation_loss(
      student, teacher, memory, index, chosen
    )[0]

  *floats, index, chosen = numbers
  single = loss(jnp.float32, *map(np.float32, floats), index, chosen)
  with jax.enable_x64(True):
    double = loss(jnp.float64, *numbers)
  np.testing.assert_allclose(single, double, rtol=1e-5)


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


def test_bfloat16_embeddings_and_memory():
  student, teacher, banks, index, chosen = problem(6)
  half = functools.partial(jnp.asarray, dtype=jnp.bfloat16)
  memory = crd.ContrastMemory(*map(half, banks), jnp.full(2, -jnp.inf))
  loss, after = jax.jit(crd.contrastive_representation_loss)(
    half(student),
    half(teacher),
    memory,
    jnp.asarray(index),
    jnp.asarray(chosen),
  )
  assert loss.dtype == after.log_z.dtype == jnp.float32
  assert after.student.dtype == jnp.bfloat16


def test_fresh_memory():
  memory = crd.init_contrast_memory(jax.random.key(0), 500, 12)
  assert memory.student.shape == memory.teacher.shape == (500, 12)
  np.testing.assert_allclose(np.var(memory.student), 1 / 12, rtol=0.05)
  assert np.abs(memory.teacher).max() <= (3 / 12) ** 0.5
  assert (memory.student != memory.teacher).any()
  np.testing.assert_array_equal(memory.log_z, -np.inf)


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
