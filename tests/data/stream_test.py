"""Batches read ahead: order, bounds, failures and the end of the threads."""

import threading
import time

import jax
import numpy as np
import pytest

from kdjax import data


def _source(count=20, on_read=lambda indices: None):
  image = np.arange(count, dtype=np.uint8)[:, None, None, None]

  def read(indices):
    on_read(indices)
    return {'image': image[indices], 'label': indices.astype(np.int32) % 10}

  return data.Source(read, count)


def _readers():
  return [
    thread
    for thread in threading.enumerate()
    if thread.name.startswith('batches')
  ]


@pytest.mark.parametrize('prefetch', [1, 2, 9])
def test_batches_come_in_order(prefetch):
  indices, weight = data.epoch_order(jax.random.key(0), 20, 6)
  # Early batches take longest, so that late ones are ready first.
  first = int(indices[0, 0])
  source = _source(
    on_read=lambda batch: time.sleep(0.05 if batch[0] == first else 0)
  )
  batches = list(data.batches(source, indices, weight, prefetch=prefetch))
  assert len(batches) == 4
  for step, batch in enumerate(batches):
    np.testing.assert_array_equal(batch['index'], indices[step])
    np.testing.assert_array_equal(batch['weight'], weight[step])
    np.testing.assert_array_equal(batch['image'].ravel(), indices[step])
    np.testing.assert_array_equal(
      batch['label'], np.asarray(indices[step]) % 10
    )
  assert {name: values.dtype for name, values in batches[0].items()} == {
    'image': np.uint8,
    'label': np.int32,
    'weight': np.float32,
    'index': np.int32,
  }
  assert not _readers()


def test_no_more_is_read_ahead_than_asked():
  read = []
  indices, weight = data.sequential_order(20, 2)
  stream = data.batches(
    _source(on_read=lambda batch: read.append(batch[0])),
    indices,
    weight,
    prefetch=3,
  )
  next(stream)
  deadline = time.monotonic() + 5
  while len(read) < 4 and time.monotonic() < deadline:
    time.sleep(0.001)
  time.sleep(0.05)
  assert sorted(read) == [0, 2, 4, 6]  # The one in hand, and three ahead.
  stream.close()


def test_reading_happens_while_the_consumer_is_busy():
  second = threading.Event()
  source = _source(
    on_read=lambda batch: second.set() if batch[0] == 2 else None
  )
  stream = data.batches(source, *data.sequential_order(20, 2), prefetch=1)
  next(stream)
  assert second.wait(5)
  stream.close()


def test_a_failure_arrives_where_it_is_due():
  def fail(batch):
    if batch[0] == 4:
      raise OSError('disk on fire')

  stream = data.batches(
    _source(on_read=fail), *data.sequential_order(20, 2), prefetch=4
  )
  assert [next(stream)['index'][0] for _ in range(2)] == [0, 2]
  with pytest.raises(OSError, match='disk on fire'):
    next(stream)
  assert not _readers()


def test_closing_ends_the_threads():
  stream = data.batches(_source(), *data.sequential_order(20, 2))
  next(stream)
  assert _readers()
  stream.close()
  assert not _readers()


def test_wrong_arguments_are_refused_at_once():
  indices, weight = data.sequential_order(20, 2)
  with pytest.raises(ValueError, match='prefetch must be positive, got 0'):
    data.batches(_source(), indices, weight, prefetch=0)
  with pytest.raises(ValueError, match=r'shapes \(10, 2\) and \(9, 2\)'):
    data.batches(_source(), indices, weight[1:])
