"""Rows come back as they were written, and those of another process too."""

import functools
import shutil
import subprocess
import sys

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
  # A crash would leave no flags, whatever became of the values.
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


@pytest.mark.parametrize('kind', _ON_DISK)
@pytest.mark.parametrize('lost', ['values', 'filled'])
def test_without_one_half_the_other_is_not_believed(
  open_storage, tmp_path, kind, lost
):
  storage = open_storage(kind)
  storage.write(np.array([3]), jnp.ones((1, 10)))
  storage.flush()
  (path,) = tmp_path.glob(f'*.{lost}*')
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  assert not open_storage(kind).has(np.arange(_ROWS)).any()


@pytest.mark.parametrize('kind', _KINDS)
def test_some_rows_that_are_there(open_storage, kind):
  storage = open_storage(kind)
  assert len(storage.some(4)) == 0
  storage.write(np.array([2, 900, 30]), jnp.ones((3, 10)))
  assert storage.some(9).tolist() == [2, 30, 900]
  assert len(set(storage.some(2).tolist()) & {2, 30, 900}) == 2


def test_a_lost_chunk_is_noticed(open_storage, tmp_path):
  for name, dtype in (('logits', np.float32), ('indices', np.int32)):
    storage = open_storage('array_store', name=name, dtype=dtype)
    storage.write(np.array([1]), jnp.ones((1, 10), dtype))
    storage.flush()
    for path in (tmp_path / f'{name}-{np.dtype(dtype)}.values.zarr').rglob('*'):
      if path.is_file() and path.name != 'zarr.json':
        path.unlink()
    again = open_storage('array_store', name=name, dtype=dtype)
    with pytest.raises(cache.CacheError, match='missing'):
      again.read(np.array([1]))


def test_many_processes_may_start_at_once(tmp_path):
  """What each of them writes, all of them find."""
  code = (
    'import sys; import numpy as np; from kdjax import cache;'
    'place, number = sys.argv[1], int(sys.argv[2]);'
    'cache.claim(place, {"teacher": "ab"});'
    'kinds = (cache.MemoryMap, cache.ArrayStore);'
    's = [k(place, "x", 40, (3,), np.dtype(np.float32)) for k in kinds];'
    'rows = np.arange(10 * number, 10 * number + 10);'
    '[x.write(rows, np.full((10, 3), number, np.float32)) for x in s];'
    '[x.flush() for x in s]'
  )
  place = str(tmp_path / 'shared')
  running = [
    subprocess.Popen(
      [sys.executable, '-c', code, place, str(number)],
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(4)
  ]
  for process in running:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
  for kind in _ON_DISK.values():
    storage = kind(place, 'x', 40, (3,), np.dtype(np.float32))
    assert storage.has(np.arange(40)).all()
    np.testing.assert_array_equal(
      storage.read(np.arange(40))[:, 0], np.arange(40) // 10
    )


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
  with pytest.raises(cache.CacheError, match=r'(?i)crc|checksum|digest'):
    open_storage('array_store').read(rows)
