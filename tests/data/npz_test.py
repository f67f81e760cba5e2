"""Images in memory and in files of NumPy."""

import numpy as np
import pytest

from kdjax import data

_RANDOM = np.random.default_rng(0)
_IMAGES = _RANDOM.integers(0, 256, (12, 5, 6, 3)).astype(np.uint8)
_LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
  'names',
  [
    ('x_train', 'y_train', 'x_test', 'y_test'),
    ('train_images', 'train_labels', 'test_images', 'test_labels'),
  ],
)
def test_names_of_keras_and_of_medmnist(tmp_path, names):
  path = str(tmp_path / 'own.npz')
  arrays = (_IMAGES[:9], _LABELS[:9, None], _IMAGES[9:], _LABELS[9:])
  np.savez(path, **dict(zip(names, arrays, strict=True)))
  found = data.load_arrays(path)
  assert found.name == f'arrays:{path}'
  assert (found.classes, found.image_shape) == (3, (5, 6, 3))
  np.testing.assert_array_equal(found.train.arrays()['image'], _IMAGES[:9])
  np.testing.assert_array_equal(found.train.labels(), _LABELS[:9])
  np.testing.assert_array_equal(found.test.labels(), _LABELS[9:])
  pixels = np.float64(_IMAGES[:9]).reshape(-1, 3)
  assert found.mean == pytest.approx(pixels.mean(axis=0))
  assert found.std == pytest.approx(pixels.std(axis=0))
  assert found.names == ('0', '1', '2')
  with pytest.raises(data.DataError, match='test_fraction must not be given'):
    data.load_arrays(path, test_fraction=0.2)


def test_one_split_is_divided(tmp_path):
  path = str(tmp_path / 'own.npz')
  np.savez(path, image=_IMAGES[..., 0], label=_LABELS)
  found = data.load_arrays(path, test_fraction=0.25)
  assert found.image_shape == (5, 6, 1)
  assert found.counts() == {x: {'train': 3, 'test': 1} for x in '012'}
  both = np.concatenate(
    [source.arrays()['image'] for source in (found.train, found.test)]
  )
  assert sorted(both.ravel()) == sorted(_IMAGES[..., 0].ravel())
  with pytest.raises(data.DataError, match='state the share'):
    data.load_arrays(path)


def _of(images=_IMAGES, labels=_LABELS, **options):
  return data.of_arrays((images, labels), (_IMAGES, _LABELS), **options)


def test_names_and_more_classes_than_labels():
  found = _of(class_names=('ant', 'bee', 'cow'), image_size=8)
  assert (found.classes, found.image_size) == (3, 8)
  assert found.counts()['bee'] == {'train': 4, 'test': 4}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'images': np.float32(_IMAGES) / 255},
      r'numpy.uint8\(numpy.round\(255 \*',
    ),
    ({'images': np.float32(_IMAGES)}, r'numpy.uint8\(numpy.round\(images\)\)'),
    ({'images': np.int16(_IMAGES) - 99}, 'store pixels of 0 to 255 as uint8'),
    ({'images': np.zeros((12, 3, 9, 9), np.uint8)}, 'with channels first'),
    ({'images': _IMAGES[:, :4]}, 'they must have one shape'),
    ({'images': _IMAGES[:5]}, 'label must be as long as image'),
    ({'images': _IMAGES[:0], 'labels': _LABELS[:0]}, 'no images of train'),
    ({'labels': np.float32(_LABELS)}, r'must be integers \[n\] or \[n, 1\]'),
    ({'labels': np.zeros((12, 14), int)}, 'one class an example'),
    ({'labels': _LABELS - 1}, 'label must be 0 or more'),
    ({'labels': np.zeros(12, int)}, 'none of class 1'),
    ({'classes': 2}, 'Labels must be below classes=2, got 2'),
    ({'classes': 4}, 'none of class 3'),
    ({'class_names': ('a', 'b', 'c', 'd'), 'classes': 3}, 'must be 3 names'),
  ],
)
def test_arrays_that_do_not_fit(change, message):
  with pytest.raises(data.DataError, match=message) as caught:
    _of(**change)
  assert '\n' not in str(caught.value)


def test_files_that_do_not_fit(tmp_path):
  def refused(path, match):
    with pytest.raises(data.DataError, match=match) as caught:
      data.load_arrays(str(path))
    assert '\n' not in str(caught.value)

  refused(tmp_path / 'absent.npz', 'No such file')
  np.save(tmp_path / 'one.npy', _IMAGES)
  refused(tmp_path / 'one.npy', 'holds one array')
  np.savez(tmp_path / 'other.npz', x=_IMAGES)
  refused(tmp_path / 'other.npz', 'x_train, y_train.*; it holds x')
  (tmp_path / 'text.npz').write_text('no arrays')
  refused(tmp_path / 'text.npz', 'Cannot read')
  pickled = np.array([{'a': 1}], dtype=object)
  np.savez(tmp_path / 'pickled.npz', image=pickled, label=_LABELS)
  refused(tmp_path / 'pickled.npz', 'Object arrays cannot be loaded')
  whole = tmp_path / 'whole.npz'
  np.savez_compressed(whole, image=_IMAGES, label=_LABELS)
  content = bytearray(whole.read_bytes())
  content[100:140] = bytes(40)
  whole.write_bytes(content)
  refused(whole, 'Cannot read image')
