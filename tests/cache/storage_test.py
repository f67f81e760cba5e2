"""Rows come back as they were written, and those of another process too."""

import functools

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from kdjax import cache

_ROWS = 1000
_ON_DISK = {'memory_map': cache.MemoryMap, 'array_store': cache.ArrayStore}
_KINDS = ('device', *_ON_DISK)


@pytest.fixture
def open_storage(tmp_path):
  def make(
    kind, name='logits', rows=_ROWS, shape=(10,), dtype=np.float32, **kw
  ):
    if kind == 'device':
      return cache.DeviceStorage(rows, shape, np.dtype(dtype), **kw)
    return _ON_DISK[kind](tmp_path, name, rows, shape, np.dtype(dtype), **kw)

  return make


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize(
  ('shape', 'dtype'),
  [
    ((10,), np.float32),
    ((5,), np.int32),
    ((3, 4), np.float32),
    ((), np.float32),
  ],
)
def test_rows_come_back(open_storage, kind, shape, dtype):
  storage = open_storage(kind, shape=shape, dtype=dtype)
  rows = np.array([5, 999, 0, 5])
  values = 100 * np.random.default_rng(0).normal(size=(4, *shape))
  values = values.astype(dtype)
  values[3] = values[0]
  assert not storage.has(np.arange(_ROWS)).any()
  storage.write(rows, jnp.asarray(values))
  storage.flush()
  np.testing.assert_array_equal(
    np.flatnonzero(storage.has(np.arange(_ROWS))), [0, 5, 999]
  )
  back = storage.read(rows[::-1])
  assert back.dtype == dtype
  np.testing.assert_array_equal(back, values[::-1])
  # Later rows leave earlier ones alone.
  storage.write(np.array([7]), jnp.asarray(values[:1] + values[1:2]))
  np.testing.assert_array_equal(storage.read(rows), values)
  np.testing.assert_array_equal(
    storage.read(np.array([7])), values[:1] + values[1:2]
  )


@pytest.mark.parametrize('kind', _KINDS)
def test_half_the_memory_for_half_the_precision(open_storage, kind):
  storage = open_storage(kind, kept_as=ml_dtypes.bfloat16)
  values = np.random.default_rng(1).normal(size=(2, 10)).astype(np.float32)
  storage.write(np.array([1, 2]), jnp.asarray(values))
  back = storage.read(np.array([1, 2]))
  assert back.dtype == np.float32
  np.testing.assert_array_equal(
    back, values.astype(ml_dtypes.bfloat16).astype(np.float32)
  )


@pytest.mark.parametrize('kind', _ON_DISK)
def test_what_was_flushed_is_there_for_the_next(open_storage, kind):
  storage = open_storage(kind)
  rows, values = np.array([3, 998]), np.ones((2, 10), np.float32)
  storage.write(rows, jnp.asarray(values))
  # Values without their flags are what a crash would leave.
  assert not open_storage(kind).has(rows).any()
  storage.flush()
  other = open_storage(kind)
  assert other.has(rows).all()
  assert other.has(np.arange(_ROWS)).sum() == 2
  np.testing.assert_array_equal(other.read(rows), values)


@pytest.mark.parametrize('kind', _ON_DISK)
@pytest.mark.parametrize('change', [{'rows': 999}, {'shape': (9,)}])
def test_another_size_is_refused(open_storage, kind, change):
  open_storage(kind)
  with pytest.raises(
    cache.CacheError, match=r'logits-float32\.values'
  ) as caught:
    open_storage(kind, **change)
  assert '\n' not in str(caught.value)
  assert len(str(caught.value)) < 400


@pytest.mark.parametrize('kind', _ON_DISK)
def test_outputs_and_precisions_do_not_meet(open_storage, kind):
  first = open_storage(kind)
  first.write(np.array([0]), jnp.ones((1, 10)))
  first.flush()
  others = (
    functools.partial(open_storage, kind, name='block1.scores'),
    functools.partial(open_storage, kind, kept_as=ml_dtypes.bfloat16),
  )
  for other in others:
    assert not other().has(np.array([0])).any()


def test_a_damaged_chunk_is_noticed(open_storage, tmp_path):
  storage = open_storage('array_store')
  rows = np.arange(_ROWS)
  values = np.random.default_rng(2).normal(size=(_ROWS, 10))
  storage.write(rows, jnp.asarray(values.astype(np.float32)))
  storage.flush()
  chunk = next(
    path
    for path in (tmp_path / 'logits-float32.values.zarr').rglob('*')
    if path.is_file() and path.name != 'zarr.json'
  )
  damaged = bytearray(chunk.read_bytes())
  damaged[len(damaged) // 2] ^= 1
  chunk.write_bytes(damaged)
  with pytest.raises(cache.CacheError, match='damaged'):
    open_storage('array_store').read(rows)
