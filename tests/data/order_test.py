"""Orders: every example exactly once, and batches that weigh the same."""

import collections
import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdjax import data


@settings(max_examples=15, deadline=None)
@given(examples=st.integers(1, 40), batch_size=st.integers(1, 24))
def test_each_example_counts_exactly_once(examples, batch_size):
  indices, weight = data.epoch_order(jax.random.key(3), examples, batch_size)
  indices, weight = np.asarray(indices), np.asarray(weight)
  assert indices.dtype == np.int32
  assert weight.dtype == np.float32
  assert indices.shape == weight.shape
  assert indices.shape[1] == batch_size
  assert 0 <= indices.size - examples < batch_size
  real = indices[weight > 0]
  np.testing.assert_array_equal(np.sort(real), np.arange(examples))
  np.testing.assert_allclose(weight.mean(axis=1), 1, rtol=1e-6)
  # What fills up the last batch comes from the front, wrapping around.
  filler = indices.ravel()[examples:]
  front = np.resize(real, filler.size)
  np.testing.assert_array_equal(filler, front)


@pytest.mark.parametrize(
  ('examples', 'batch_size'), [(10, 4), (12, 4), (3, 8), (1, 5)]
)
def test_weighted_batches_average_the_real_examples(examples, batch_size):
  loss = np.random.RandomState(0).rand(examples)
  indices, weight = map(
    np.asarray, data.epoch_order(jax.random.key(0), examples, batch_size)
  )
  for row, scale in zip(indices, weight, strict=True):
    real = [loss[i] for i, w in zip(row, scale, strict=True) if w > 0]
    assert (loss[row] * scale).mean() == pytest.approx(np.mean(real), rel=1e-6)


@pytest.mark.parametrize(('examples', 'batch_size'), [(50, 8), (3, 8)])
def test_host_and_xla_agree(examples, batch_size):
  order = functools.partial(
    data.epoch_order, examples=examples, batch_size=batch_size
  )
  key = jax.random.key(7)
  for host, xla in zip(order(key), jax.jit(order)(key), strict=True):
    np.testing.assert_array_equal(host, xla)


def test_epochs_differ_and_repeat():
  first, again, other = (
    np.asarray(data.epoch_order(jax.random.key(seed), 100, 10)[0])
    for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).mean() > 0.9


def test_sequential_order_by_hand():
  indices, weight = data.sequential_order(5, 3)
  np.testing.assert_array_equal(indices, [[0, 1, 2], [3, 4, 0]])
  np.testing.assert_array_equal(weight, [[1, 1, 1], [1, 1, 0]])
  indices, weight = data.sequential_order(2, 5)
  np.testing.assert_array_equal(indices, [[0, 1, 0, 1, 0]])
  np.testing.assert_array_equal(weight, [[1, 1, 0, 0, 0]])
  assert indices.dtype == np.int32
  assert weight.dtype == np.float32


def test_orders_of_nothing_are_refused():
  key = jax.random.key(0)
  with pytest.raises(ValueError, match='examples must be positive, got 0'):
    data.epoch_order(key, 0, 4)
  with pytest.raises(ValueError, match='batch_size must be positive, got -1'):
    data.sequential_order(4, -1)


@st.composite
def _draws(draw):
  labels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=60))
  return (
    draw(st.integers(0, 2**32 - 1)),
    labels,
    draw(st.integers(1, len(labels))),
  )


@settings(deadline=None)
@given(_draws())
def test_a_transfer_set_is_as_equal_as_can_be(draw):
  seed, labels, examples = draw
  chosen = data.transfer_subset(seed, labels, examples)
  assert len(chosen) == examples
  assert np.all(np.diff(chosen) > 0)
  taken = collections.Counter(labels[i] for i in chosen)
  most = max(taken.values())
  for label, available in collections.Counter(labels).items():
    assert taken[label] >= min(available, most - 1)
  np.testing.assert_array_equal(
    chosen, data.transfer_subset(seed, labels, examples)
  )
  larger = data.transfer_subset(seed, labels, min(examples + 1, len(labels)))
  assert set(chosen) <= set(larger)


def test_a_transfer_set_is_drawn_at_random():
  labels = np.arange(1000) % 10
  drawn = [data.transfer_subset(seed, labels, 95) for seed in range(40)]
  # 1000 examples, each with probability 0.095: all but a few occur.
  assert len(np.unique(np.concatenate(drawn))) > 950
  # Nine of each class and five left over, which go to changing classes.
  favoured = {
    label
    for chosen in drawn
    for label, times in collections.Counter(labels[chosen]).items()
    if times == 10
  }
  assert favoured == set(range(10))


def test_zero_means_all():
  chosen = data.transfer_subset(0, [3, 3, 1], 0)
  np.testing.assert_array_equal(chosen, [0, 1, 2])


@pytest.mark.parametrize('examples', [-1, 4])
def test_impossible_transfer_sets_are_refused(examples):
  with pytest.raises(ValueError, match=rf'within 0\.\.3 .*, got {examples}\.'):
    data.transfer_subset(0, [0, 1, 1], examples)


def test_a_part_of_every_class_is_held_out():
  labels = np.array([0] * 50 + [1] * 10 + [2] * 2 + [3])
  held = data.held_out(labels, 0.2)
  assert np.bincount(labels[held], minlength=4).tolist() == [10, 2, 1, 0]
  np.testing.assert_array_equal(held, data.held_out(labels.tolist(), 0.2))
  most = data.held_out(labels, 0.99)
  # Every class keeps an example.
  assert np.bincount(labels[~most]).tolist() == [1, 1, 1, 1]
  assert not np.array_equal(held[:50], np.arange(50) < 10)
  for fraction in (0, 1, -0.1):
    with pytest.raises(ValueError, match='fraction must be above 0 and below'):
      data.held_out(labels, fraction)


@pytest.mark.parametrize('examples', [1, 7, 16, 31, 64, 80])
def test_a_proportional_transfer_set(examples):
  labels = np.random.RandomState(1).permutation([0] * 40 + [1] * 24 + [2] * 16)
  subset = data.proportional_subset(3, labels, examples)
  assert len(np.unique(subset)) == examples
  assert np.all(np.diff(subset) > 0)
  counts = np.bincount(labels[subset], minlength=3)
  expected = examples * np.array([40, 24, 16]) / 80
  assert np.abs(counts - expected).max() <= 1
  larger = data.proportional_subset(3, labels, 80)
  assert set(subset) <= set(larger)
  other = data.proportional_subset(4, labels, examples)
  assert examples == 80 or not np.array_equal(subset, other)


def test_proportional_transfer_sets_out_of_range():
  labels = np.zeros(5, int)
  assert data.proportional_subset(0, labels, 0).tolist() == [0, 1, 2, 3, 4]
  with pytest.raises(ValueError, match=r'examples must be within 0\.\.5'):
    data.proportional_subset(0, labels, 6)
