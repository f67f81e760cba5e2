import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses.relation import negatives

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

draw = jax.jit(negatives.sample_negatives, static_argnames='negatives')


def test_table_is_sorted_by_class():
  labels = jnp.array([2, 0, 2, 1, 0, 2])
  table = negatives.negative_table(labels, 4)
  np.testing.assert_array_equal(table.order, [1, 4, 3, 0, 2, 5])
  np.testing.assert_array_equal(table.start, [0, 2, 3, 6])
  np.testing.assert_array_equal(table.sizes, [2, 1, 3, 0])


def test_negatives_are_of_other_classes_and_uniform():
  labels = jnp.array([2, 0, 2, 1, 0, 2, 1, 1])
  table = negatives.negative_table(labels, 4)
  index = jnp.array([0, 4, 3])
  drawn = draw(jax.random.key(0), labels[index], index, table, negatives=6000)
  assert drawn.shape == (3, 6001)
  assert drawn.dtype == index.dtype
  np.testing.assert_array_equal(drawn[:, 0], index)
  for row, own in zip(np.asarray(drawn[:, 1:]), labels[index], strict=True):
    others = np.flatnonzero(labels != own)
    counts = np.bincount(row, minlength=8)
    assert counts.sum() == counts[others].sum()
    expected = 6000 / len(others)
    # Five standard deviations.
    assert np.abs(counts[others] - expected).max() < 5 * expected**0.5


def test_every_example_a_class_of_its_own():
  table = negatives.negative_table(jnp.arange(4), 4)
  index = jnp.arange(4)
  drawn = draw(jax.random.key(1), index, index, table, negatives=200)
  for i in range(4):
    assert set(np.asarray(drawn[i, 1:]).tolist()) == {0, 1, 2, 3} - {i}


def test_one_class_draws_from_all():
  table = negatives.negative_table(jnp.zeros(3, int), 1)
  index = jnp.array([1])
  drawn = draw(
    jax.random.key(2), jnp.zeros(1, int), index, table, negatives=100
  )
  assert set(np.asarray(drawn[0, 1:]).tolist()) == {0, 1, 2}


def test_key_decides():
  table = negatives.negative_table(jnp.arange(50) % 5, 5)
  index = jnp.arange(3)
  once, again, other = (
    draw(jax.random.key(seed), index, index, table, negatives=20)
    for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(once, again)
  assert (np.asarray(once) != np.asarray(other)).any()
