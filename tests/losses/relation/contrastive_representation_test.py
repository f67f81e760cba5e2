"""CRD and its memory against loops, and what they hold and round."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contrast_problems import memory_of, problem, unit
from references import relation as reference

from kdjax.losses.relation import contrastive_representation as crd

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


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
