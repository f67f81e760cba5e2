"""Digits: the right pixels, prepared once, by anybody, anywhere."""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import sklearn.datasets

import kdjax.data.tfds_source
from kdjax import data

_ROOT = pathlib.Path(kdjax.data.__file__).parents[2]
_FILES = {
  'dataset_info.json',
  'digits-test.array_record-00000-of-00001',
  'digits-train.array_record-00000-of-00001',
  'features.json',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  data.load('digits', str(folder))
  return folder


def _python(program, *arguments, **environment):
  return subprocess.Popen(
    [sys.executable, '-W', 'error', '-c', program, *map(str, arguments)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(_ROOT), **environment},
  )


def _assert_complete(folder):
  """Holds digits, and nothing else: no downloads, no remains."""
  assert {path.name for path in folder.iterdir()} == {'digits'}
  assert {path.name for path in (folder / 'digits').iterdir()} == {'1.0.0'}
  files = {path.name for path in (folder / 'digits' / '1.0.0').iterdir()}
  assert files == _FILES


def test_pixels_are_those_of_scikit_learn(folder):
  digits = data.load('digits', str(folder))
  file = sklearn.datasets.load_digits()
  order = np.random.RandomState(0).permutation(1797)
  for source, rows in (
    (digits.train, order[:1200]),
    (digits.test, order[1200:]),
  ):
    examples = source.arrays()
    assert examples['image'].dtype == np.uint8
    assert examples['label'].dtype == np.int32
    np.testing.assert_array_equal(
      examples['image'].astype(np.float64), file.images[rows][..., None]
    )
    np.testing.assert_array_equal(examples['label'], file.target[rows])


def test_the_splits_together_are_the_file(folder):
  digits = data.load('digits', str(folder))
  train, test = digits.train.arrays(), digits.test.arrays()
  image = np.concatenate([train['image'], test['image']])
  counts = np.bincount(train['label']) + np.bincount(test['label'])
  # From scikit-learn's description of the file.
  assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
  file = sklearn.datasets.load_digits().data.astype(np.uint8)
  assert sorted(map(bytes, image)) == sorted(map(bytes, file))
  for examples in (train, test):
    share = np.bincount(examples['label']) / len(examples['label'])
    assert np.all(np.abs(share - 0.1) < 0.03)


def test_description(folder):
  digits = data.load('digits', str(folder))
  assert digits.name == 'digits'
  assert digits.classes == 10
  assert digits.image_shape == (8, 8, 1)
  assert (len(digits.train), len(digits.test)) == (1200, 597)
  pixels = digits.train.arrays()['image'].astype(np.float64)
  np.testing.assert_allclose(digits.mean, [pixels.mean()], rtol=1e-12)
  np.testing.assert_allclose(digits.std, [pixels.std()], rtol=1e-12)


def test_it_is_prepared_once(folder):
  place = folder / 'digits' / '1.0.0'
  before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
  data.load('digits:1.0.0', str(folder))
  after = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
  assert before == after
  _assert_complete(folder)


def test_quietly_without_network_and_tensorflow(tmp_path):
  program = """
import logging, sys
touched = []
def watch(event, arguments):
  if event in ('socket.connect', 'socket.getaddrinfo'):
    touched.append(arguments)
sys.addaudithook(watch)
from kdjax import data
digits = data.load('digits', sys.argv[1])
digits.train.arrays()
try:
  data.load('cifar10').test.fetch([0])
except data.DataError:
  pass  # Where it is at hand, images must be decoded quietly too.
logging.warning('after')
assert not touched, touched
assert 'tensorflow' not in sys.modules
"""
  out, err = _python(program, tmp_path).communicate(timeout=120)
  assert (out, err) == ('', 'WARNING:root:after\n')
  _assert_complete(tmp_path)


def test_two_processes_at_once(tmp_path):
  # Each stops when its files are written and about to be moved into place.
  program = """
import os, sys
from kdjax import data
rename = os.rename
def wait_and_rename(source, target):
  if target == os.path.join(sys.argv[1], 'digits', '1.0.0'):
    sys.__stdout__.write('ready\\n')
    sys.__stdout__.flush()
    sys.stdin.readline()
  rename(source, target)
os.rename = wait_and_rename
print(len(data.load('digits', sys.argv[1]).test))
"""
  processes = [_python(program, tmp_path) for _ in range(2)]
  for process in processes:
    assert process.stdout.readline() == 'ready\n', process.stderr.read()
  for process in processes:
    out, err = process.communicate('go\n', timeout=120)
    assert (process.returncode, out, err) == (0, '597\n', '')
  _assert_complete(tmp_path)


def test_what_a_killed_process_leaves_is_not_read(tmp_path):
  program = """
import os, sys
from kdjax import data
def die(*arguments, **options):
  os._exit(9)
os.rename = die
data.load('digits', sys.argv[1])
"""
  process = _python(program, tmp_path)
  process.communicate(timeout=120)
  assert process.returncode == 9
  assert list(tmp_path.rglob('*'))  # It had begun.
  assert not (tmp_path / 'digits' / '1.0.0').exists()
  assert len(data.load('digits', str(tmp_path)).train.arrays()['label']) == 1200


def _environment(monkeypatch, folder, home):
  monkeypatch.setenv('TFDS_DATA_DIR', str(folder))
  monkeypatch.setenv('HOME', str(home))


def test_the_default_folder_is_used(monkeypatch, tmp_path):
  _environment(monkeypatch, tmp_path / 'new' / 'data', tmp_path / 'home')
  assert len(data.load('digits').train) == 1200
  _assert_complete(tmp_path / 'new' / 'data')
  assert not (tmp_path / 'home').exists()


def test_a_folder_that_cannot_be_made_is_passed_over(monkeypatch, tmp_path):
  (tmp_path / 'file').write_text('')
  _environment(monkeypatch, tmp_path / 'file' / 'data', tmp_path / 'home')
  assert len(data.load('digits').train) == 1200
  (folder,) = (tmp_path / 'home').iterdir()
  _assert_complete(folder)
  assert len(data.load('digits').train) == 1200  # And found again.


def test_a_folder_that_is_read_only_is_passed_over(monkeypatch, tmp_path):
  shared = tmp_path / 'shared'
  shared.mkdir(mode=0o555)
  _environment(monkeypatch, shared, tmp_path / 'home')
  if os.access(shared, os.W_OK):  # The superuser may write anywhere.
    make = tempfile.mkdtemp

    def refuse(suffix=None, prefix=None, dir=None):
      if dir == str(shared):
        raise PermissionError(13, 'Permission denied', dir)
      return make(suffix, prefix, dir)

    monkeypatch.setattr(tempfile, 'mkdtemp', refuse)
  assert len(data.load('digits').train) == 1200
  assert list(shared.iterdir()) == []
  (folder,) = (tmp_path / 'home').iterdir()
  _assert_complete(folder)


def test_a_remote_default_is_passed_over(monkeypatch, tmp_path):
  monkeypatch.setattr(kdjax.data.tfds_source, '_find', lambda *_: None)
  with pytest.raises(data.DataError, match='not a local folder'):
    data.load('digits', 'gs://bucket/data')


def test_an_explicit_folder_is_the_only_one(monkeypatch, tmp_path):
  (tmp_path / 'file').write_text('')
  _environment(monkeypatch, tmp_path / 'data', tmp_path / 'home')
  with pytest.raises(data.DataError, match='Cannot write') as error:
    data.load('digits', str(tmp_path / 'file' / 'data'))
  assert str(error.value) == (
    f"Cannot write 'digits' to {tmp_path}/file/data (Not a directory)."
  )
  assert {path.name for path in tmp_path.iterdir()} == {'file'}


def test_a_folder_marked_read_only_is_left_alone_even_by_root(
  monkeypatch, tmp_path
):
  marked, home = tmp_path / 'marked', tmp_path / 'home'
  marked.mkdir()
  marked.chmod(0o555)
  monkeypatch.setenv('TFDS_DATA_DIR', str(marked))
  monkeypatch.setenv('HOME', str(home))
  assert len(data.load('digits').train) == 1200
  assert not list(marked.iterdir())
