"""A directory knows whose outputs it holds."""

import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import cache

_FIELDS = {'teacher': 'ab', 'augmentation': 'shift', 'mean': [1.0], 'top_k': 5}


def test_the_same_fields_are_welcome(tmp_path):
  place = tmp_path / 'a' / 'b'
  cache.check(place, _FIELDS)
  assert not place.exists()  # a check leaves nothing behind
  cache.claim(place, _FIELDS)
  cache.check(place, _FIELDS)
  cache.claim(place, dict(reversed(_FIELDS.items())))
  assert [path.name for path in place.iterdir()] == ['note.json']


@pytest.mark.parametrize(
  ('change', 'words'),
  [
    ({'teacher': 'cd'}, "its teacher is 'ab', not 'cd'"),
    ({'mean': [2.0]}, r'its mean is \[1.0\], not \[2.0\]'),
    ({'top_k': None}, 'its top_k is 5, not None'),
    ({'temperature': 4.0}, 'its temperature is None, not 4.0'),
  ],
)
def test_what_differs_is_named(tmp_path, change, words):
  cache.claim(tmp_path / 'x', _FIELDS)
  for function in (cache.check, cache.claim):
    with pytest.raises(cache.CacheError, match=words) as caught:
      function(tmp_path / 'x', {**_FIELDS, **change})
    assert '\n' not in str(caught.value)
  cache.check(tmp_path / 'x', _FIELDS)  # nothing was overwritten


def test_other_directories_are_refused(tmp_path):
  (tmp_path / 'thesis.tex').write_text('...')
  with pytest.raises(cache.CacheError, match='not empty'):
    cache.claim(tmp_path, _FIELDS)
  (tmp_path / 'note.json').write_text('{"teacher":')
  with pytest.raises(cache.CacheError, match='damaged'):
    cache.claim(tmp_path, _FIELDS)


@pytest.mark.parametrize('content', ['[]', 'null', '"x"', '{"a"'])
def test_a_damaged_note_is_one_line(tmp_path, content):
  (tmp_path / 'note.json').write_text(content)
  with pytest.raises(cache.CacheError, match='damaged') as caught:
    cache.check(tmp_path, _FIELDS)
  assert '\n' not in str(caught.value)


def test_places_where_nothing_can_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  for place in (tmp_path / 'file', tmp_path / 'file' / 'below', '/dev/null/x'):
    for function in (cache.check, cache.claim):
      with pytest.raises(cache.CacheError, match='no directory'):
        function(place, _FIELDS)


def test_a_claim_that_was_killed_is_no_obstacle(tmp_path):
  (tmp_path / 'note.json.123').write_text('{"teach')
  cache.claim(tmp_path, _FIELDS)
  cache.check(tmp_path, _FIELDS)


def test_what_is_not_known_yet_is_not_compared(tmp_path):
  cache.claim(tmp_path / 'x', _FIELDS)
  known = {k: v for k, v in _FIELDS.items() if k != 'teacher'}
  cache.check(tmp_path / 'x', known, ignore=('teacher',))
  with pytest.raises(cache.CacheError, match='its teacher'):
    cache.check(tmp_path / 'x', known)


def test_a_fingerprint_sees_every_byte_name_and_shape():
  tree = {'a': jnp.arange(6.0), 'b': {'c': jnp.ones((2, 3))}}
  prints = {
    cache.fingerprint(tree),
    cache.fingerprint({**tree, 'a': tree['a'].at[3].add(1e-6)}),
    cache.fingerprint({**tree, 'a': tree['a'].reshape(2, 3)}),
    cache.fingerprint({**tree, 'a': np.arange(6)}),
    cache.fingerprint({'x': tree['a'], 'b': tree['b']}),
  }
  assert len(prints) == 5
  same = {'a': np.arange(6, dtype=np.float32), 'b': {'c': np.ones((2, 3), 'f')}}
  assert cache.fingerprint(same) == cache.fingerprint(tree)
