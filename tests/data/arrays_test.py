"""Sources in memory and on request, their views, and their statistics."""

import numpy as np
import pytest

from kdjax import data


def _examples(count):
  rng = np.random.RandomState(1)
  image = rng.randint(0, 256, (count, 3, 2, 3), dtype=np.uint8)
  return image, np.arange(count, dtype=np.int64) % 4


def _counted(count):
  """A source that decodes on request, and the list of what it was asked."""
  image, label = _examples(count)
  asked = []

  def read(indices):
    asked.extend(indices.tolist())
    return {'image': image[indices], 'label': label[indices].astype(np.int32)}

  return data.Source(read, count), asked


def test_from_arrays_returns_what_it_was_given():
  image, label = _examples(7)
  source = data.from_arrays(image, label)
  fetched = source.fetch([5, 0, 5])
  assert len(source) == 7
  assert fetched['label'].dtype == np.int32
  np.testing.assert_array_equal(fetched['image'], image[[5, 0, 5]])
  np.testing.assert_array_equal(fetched['label'], [1, 0, 1])


def test_from_arrays_copies_no_image_and_protects_them():
  image, label = _examples(3)
  everything = data.from_arrays(image, label).arrays()
  assert np.shares_memory(everything['image'], image)
  with pytest.raises(ValueError, match='read-only'):
    everything['image'][0] = 0
  image[0] = 0  # The caller's own view stays writable.


def test_two_dimensional_images_get_a_channel():
  source = data.from_arrays(np.zeros((4, 5, 6), np.uint8), np.zeros(4, int))
  assert source.fetch([0, 1])['image'].shape == (2, 5, 6, 1)


def test_arrays_reads_once():
  source, asked = _counted(6)
  first, second = source.arrays(), source.arrays()
  assert asked == list(range(6))
  assert first['image'] is second['image']
  source.fetch([3])
  source.take([2, 1]).arrays()
  assert asked == list(range(6))


def test_take_of_take_reads_only_what_it_needs():
  source, asked = _counted(10)
  image, _ = _examples(10)
  view = source.take([9, 4, 7, 1]).take(np.array([2, 0, 2]))
  assert len(view) == 3
  assert asked == []
  np.testing.assert_array_equal(view.arrays()['image'], image[[7, 9, 7]])
  assert asked == [7, 9, 7]


def test_take_keeps_its_own_copy_of_the_indices():
  source, _ = _counted(5)
  indices = np.array([1, 2])
  view = source.take(indices)
  indices[:] = 0
  np.testing.assert_array_equal(view.fetch([0, 1])['label'], [1, 2])


def test_nothing_can_be_fetched():
  source, _ = _counted(5)
  assert source.fetch([])['image'].shape == (0, 3, 2, 3)
  assert len(source.take([])) == 0


@pytest.mark.parametrize(
  ('indices', 'message'),
  [
    ([0, 5], r'within 0\.\.4, got 5'),
    ([-1], r'within 0\.\.4, got -1'),
    ([0.5], 'vector of integers, got float64'),
    ([True, False], 'vector of integers, got bool'),
    ([[0]], r'of shape \(1, 1\)'),
  ],
)
def test_wrong_indices_are_refused(indices, message):
  source, _ = _counted(5)
  with pytest.raises(ValueError, match=message):
    source.fetch(indices)
  with pytest.raises(ValueError, match=message):
    source.take(indices)


@pytest.mark.parametrize(
  ('image', 'label', 'message'),
  [
    (np.zeros((2, 4, 4), np.float32), np.zeros(2, int), 'image .* float32'),
    (np.zeros((2, 4), np.uint8), np.zeros(2, int), r'shape \(2, 4\)'),
    (np.zeros((2, 4, 4), np.uint8), np.zeros(2), 'label .* float64'),
    (np.zeros((2, 4, 4), np.uint8), np.zeros(3, int), 'got 3 for 2'),
    (np.zeros((1, 4, 4), np.uint8), np.array([-1]), 'got -1'),
  ],
)
def test_wrong_arrays_are_refused(image, label, message):
  with pytest.raises(data.DataError, match=message):
    data.from_arrays(image, label)


def test_statistics_are_those_of_float64():
  image, label = _examples(1200)
  image[..., 1] //= 3
  mean, std = data.statistics(data.from_arrays(image, label))
  pixels = image.astype(np.float64).reshape(-1, 3)
  np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-12)
  np.testing.assert_allclose(std, pixels.std(axis=0), rtol=1e-12)


def test_statistics_of_a_large_source_read_an_even_sample():
  asked = []

  def read(indices):
    asked.append(indices)
    image = (indices // 1000).astype(np.uint8)[:, None, None, None]
    return {'image': image, 'label': np.zeros(len(indices), np.int32)}

  mean, _ = data.statistics(data.Source(read, 100_000))
  asked = np.concatenate(asked)
  assert len(np.unique(asked)) == 10_000
  assert mean == pytest.approx([49.5])  # Of 0..99, each equally often.


def test_a_constant_channel_can_be_divided_by():
  source = data.from_arrays(np.full((2, 4, 4), 7, np.uint8), np.zeros(2, int))
  assert data.statistics(source) == ((7.0,), (1.0,))


def test_statistics_of_nothing_are_refused():
  source = data.from_arrays(np.zeros((0, 4, 4), np.uint8), np.zeros(0, int))
  with pytest.raises(ValueError, match='at least one'):
    data.statistics(source)
