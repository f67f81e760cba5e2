"""Folders of images of all kinds: what is read, what is named and refused."""

import io
import os
import pathlib
import unicodedata

import numpy as np
import PIL.Image
import pytest

from kdjax import data
from kdjax.data import pictures

_RANDOM = np.random.default_rng(0)
_UMLAUT = 'Bäume am Weg'


def _pixels(height, width, channels=3):
  """A smooth image, which JPEG keeps nearly unchanged."""
  rows = np.linspace(0, 200, height)[:, None, None]
  columns = np.linspace(0, 50, width)[None, :, None]
  return np.uint8(rows + columns + np.arange(channels))


def _save(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  picture = (
    pixels
    if isinstance(pixels, PIL.Image.Image)
    else PIL.Image.fromarray(pixels)
  )
  picture.save(path, **options)


def _make(root, sizes=((40, 60), (50, 33), (36, 36)), parts=('train', 'test')):
  """Three images of each of three classes."""
  for part in parts:
    for name in ('cat', _UMLAUT, 'dog two'):
      for place, size in enumerate(sizes):
        _save(root / part / name / f'{place}.jpg', _pixels(*size), quality=95)
  return root


def test_images_of_unequal_size_are_on_canvases(tmp_path):
  root = _make(tmp_path)
  found = data.folder(str(root))
  assert found.name == f'folder:{root}'
  assert found.class_names == (_UMLAUT, 'cat', 'dog two')
  assert (found.classes, found.image_size) == (3, 32)
  assert found.image_shape == (50, 60, 3)
  assert (len(found.train), len(found.test)) == (9, 9)
  assert found.remarks == ()
  examples = found.train.fetch([4, 0])
  assert examples['label'].tolist() == [1, 0]
  assert examples['size'].tolist() == [[50, 33], [40, 60]]
  assert examples['size'].dtype == examples['label'].dtype == np.int32
  for place, (height, width) in enumerate([(50, 33), (40, 60)]):
    image = examples['image'][place]
    difference = np.int32(image[:height, :width]) - _pixels(height, width)
    assert np.abs(difference).max() <= 4
    assert not image[height:].any()
    assert not image[:, width:].any()
  assert found.train.labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
  assert found.counts()[_UMLAUT] == {'train': 3, 'test': 3}


def test_statistics_are_of_real_pixels(tmp_path):
  root = tmp_path
  for part in ('train', 'test'):
    _save(root / part / 'a' / '1.png', np.full((40, 50, 3), 100, np.uint8))
    _save(root / part / 'b' / '1.png', np.full((50, 80, 3), 130, np.uint8))
  found = data.folder(str(root), canvas=80)
  mean = (100 * 2000 + 130 * 4000) / 6000
  assert found.mean == pytest.approx([mean] * 3)
  std = np.sqrt(((100 - mean) ** 2 * 2000 + (130 - mean) ** 2 * 4000) / 6000)
  assert found.std == pytest.approx([std] * 3)


def test_images_of_one_size_have_todays_form(tmp_path):
  root = _make(tmp_path, sizes=((20, 30),) * 2)
  found = data.folder(str(root))
  assert (found.image_size, found.image_shape) == (None, (20, 30, 3))
  assert set(found.train.arrays()) == {'image', 'label'}


def test_large_images_are_reduced(tmp_path):
  root = _make(tmp_path, sizes=((300, 600), (90, 40), (64, 64)))
  found = data.folder(str(root), image_size=32, canvas=100)
  assert found.image_size == 32
  assert found.image_shape == (90, 100, 3)
  examples = found.train.fetch([0])
  assert examples['size'].tolist() == [[50, 100]]
  # The image is linear, so its reduction is the same plane, sampled.
  difference = np.int32(examples['image'][0, :50]) - _pixels(50, 100)
  assert np.abs(difference).max() <= 6
  assert data.folder(str(root), image_size=48).image_shape == (90, 96, 3)


def _with_orientation(picture, orientation):
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  file = io.BytesIO()
  picture.save(file, 'png', exif=exif)
  return file.getvalue()


@pytest.mark.parametrize(
  ('orientation', 'upright'),
  [
    (1, lambda x: x),
    (3, lambda x: x[::-1, ::-1]),
    (6, lambda x: np.rot90(x, -1)),
    (8, np.rot90),
  ],
)
def test_exif_rotation(orientation, upright):
  pixels = _RANDOM.integers(0, 256, (4, 6, 3)).astype(np.uint8)
  file = _with_orientation(PIL.Image.fromarray(pixels), orientation)
  expected = upright(pixels)
  np.testing.assert_array_equal(pictures.decode(file), expected)
  assert pictures.read_size(file) == expected.shape[:2]


def _bytes(picture, form='png', **options):
  file = io.BytesIO()
  picture.save(file, form, **options)
  return file.getvalue()


def test_all_kinds_become_rgb():
  grey = PIL.Image.fromarray(np.uint8([[0, 100, 255]]))
  assert pictures.decode(_bytes(grey)).tolist() == [
    [[x] * 3 for x in (0, 100, 255)]
  ]
  assert pictures.decode(_bytes(grey), channels=1).tolist() == [
    [[0], [100], [255]]
  ]
  deep = PIL.Image.fromarray(np.uint16([[0, 257 * 7, 65535]]))
  assert pictures.decode(_bytes(deep))[0, :, 0].tolist() == [0, 7, 255]
  colours = PIL.Image.fromarray(np.uint8([[[250, 0, 0], [0, 0, 250]]]))
  palette = colours.convert('P', palette=PIL.Image.Palette.ADAPTIVE)
  assert palette.mode == 'P'
  assert pictures.decode(_bytes(palette)).tolist() == [
    [[250, 0, 0], [0, 0, 250]]
  ]
  ink = PIL.Image.new('CMYK', (2, 2), (0, 255, 255, 0))
  red = pictures.decode(_bytes(ink, 'tiff'))
  assert red[0, 0].tolist() == [255, 0, 0]
  # A transparent pixel, a half transparent one, an opaque one.
  clear = PIL.Image.fromarray(
    np.uint8([[[9, 9, 9, 0], [0, 0, 0, 128], [9, 8, 7, 255]]])
  )
  found = pictures.decode(_bytes(clear))[0]
  assert found[0].tolist() == [255] * 3
  assert found[1].tolist() == [127] * 3
  assert found[2].tolist() == [9, 8, 7]
  marked = palette.copy()
  marked.info['transparency'] = 0
  seen = pictures.decode(_bytes(marked, transparency=0))[0].tolist()
  assert [255, 255, 255] in seen
  frames = [PIL.Image.new('RGB', (3, 3), x) for x in ('red', 'blue')]
  moving = _bytes(frames[0], 'gif', save_all=True, append_images=frames[1:])
  assert pictures.decode(moving)[0, 0].tolist() == [255, 0, 0]


def test_what_is_no_image_is_ignored_and_counted(tmp_path):
  root = _make(tmp_path)
  (root / 'train' / 'cat' / '.hidden.jpg').write_bytes(b'')
  (root / 'train' / 'cat' / 'notes.txt').write_text('x')
  (root / 'train' / 'readme.md').write_text('x')
  _save(root / 'train' / 'cat' / 'inner' / 'a.png', _pixels(4, 4))
  found = data.folder(str(root))
  assert len(found.train) == 9
  assert found.remarks == (
    'Ignored 3 files: hidden, no image.',
    'Ignored 1 folder within class folders.',
  )


def _truncate(path):
  content = path.read_bytes()
  path.write_bytes(content[:-100])


def test_broken_files_are_named_or_skipped(tmp_path):
  root = _make(tmp_path)
  _truncate(root / 'train' / 'cat' / '1.jpg')
  (root / 'test' / 'cat' / '0.jpg').write_bytes(b'no image')
  with pytest.raises(data.DataError) as caught:
    data.folder(str(root))
  message = str(caught.value)
  assert '\n' not in message
  assert 'has 2 broken files: ' in message
  for words in ('train/cat/1.jpg (', 'truncated', 'test/cat/0.jpg ('):
    assert words in message
  found = data.folder(str(root), broken='skip')
  assert (len(found.train), len(found.test)) == (8, 8)
  assert found.remarks == ('Skipped 2 broken files.',)
  whole = [[40, 60], [50, 33], [36, 36]]
  sizes = found.train.arrays()['size'].tolist()
  assert sizes == [*whole, whole[0], whole[2], *whole]
  assert found.train.labels().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
  with pytest.raises(ValueError, match='broken must be one of refuse, skip'):
    data.folder(str(root), broken='mend')


def test_a_file_of_a_large_folder_that_is_broken_later(tmp_path, monkeypatch):
  monkeypatch.setattr('kdjax.data.folders._FEW', 5)
  root = _make(tmp_path)
  _truncate(root / 'test' / 'cat' / '1.jpg')
  found = data.folder(str(root))
  with pytest.raises(data.DataError, match=r'cat.1\.jpg.*truncated'):
    found.test.arrays()


def test_decoded_images_that_are_too_many_are_not_kept(tmp_path, monkeypatch):
  root = _make(tmp_path)
  kept = data.folder(str(root)).train.arrays()
  monkeypatch.setattr('kdjax.data.folders._KEPT_BYTES', 10)
  again = data.folder(str(root)).train.arrays()
  for name, values in kept.items():
    np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize('name', ['val', 'validation'])
def test_other_names_of_the_test_folder(tmp_path, name):
  root = _make(tmp_path, parts=('train', name))
  assert len(data.folder(str(root)).test) == 9


def test_one_folder_is_split_by_a_fraction(tmp_path):
  sizes = ((20, 20),) * 10
  root = _make(tmp_path, sizes=sizes, parts=('.',))
  found = data.folder(str(root), test_fraction=0.2)
  assert found.counts() == {
    name: {'train': 8, 'test': 2} for name in (_UMLAUT, 'cat', 'dog two')
  }
  with pytest.raises(data.DataError, match='state the share'):
    data.folder(str(root))
  with pytest.raises(ValueError, match='fraction must be above 0'):
    data.folder(str(root), test_fraction=1.5)


def test_the_split_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
  for name in ('a', 'b'):
    for i in range(10):
      _save(tmp_path / name / f'{i}.png', np.full((4, 4, 3), i, np.uint8))
  first = data.folder(str(tmp_path), test_fraction=0.3).test.arrays()
  scandir = os.scandir

  class Reversed(list):
    def __enter__(self):
      return self

    def __exit__(self, *error):
      pass

  monkeypatch.setattr(
    os, 'scandir', lambda path: Reversed([*scandir(path)][::-1])
  )
  second = data.folder(str(tmp_path), test_fraction=0.3).test.arrays()
  np.testing.assert_array_equal(first['image'], second['image'])
  assert len(first['label']) == 6


def test_classes_in_two_forms_of_unicode_are_one(tmp_path):
  root = _make(tmp_path)
  composed = root / 'test' / unicodedata.normalize('NFC', _UMLAUT)
  os.rename(composed, root / 'test' / unicodedata.normalize('NFD', _UMLAUT))
  found = data.folder(str(root))
  assert found.counts()[_UMLAUT] == {'train': 3, 'test': 3}


def test_a_class_may_be_called_train(tmp_path):
  for name in ('train', 'car'):
    for i in range(4):
      _save(tmp_path / name / f'{i}.png', _pixels(8, 8))
  found = data.folder(str(tmp_path), test_fraction=0.5)
  assert found.class_names == ('car', 'train')


def _remove(folder):
  for path in folder.iterdir():
    path.unlink()


@pytest.mark.parametrize(
  ('spoil', 'message'),
  [
    (
      lambda root: _remove(root / 'train/cat'),
      "no readable training image of 'cat'",
    ),
    (
      lambda root: _save(root / 'test/cow/1.png', _pixels(4, 4)),
      "not have: 'cow'",
    ),
    (
      lambda root: [
        _remove(root / 'test' / x) for x in os.listdir(root / 'test')
      ],
      'has no test image',
    ),
  ],
)
def test_classes_that_do_not_fit(tmp_path, spoil, message):
  root = _make(tmp_path)
  spoil(root)
  with pytest.raises(data.DataError, match=message) as caught:
    data.folder(str(root))
  assert '\n' not in str(caught.value)


def test_a_class_without_tests_is_said(tmp_path):
  root = _make(tmp_path)
  _remove(root / 'test' / 'cat')
  assert data.folder(str(root)).remarks == ("No test image of 'cat'.",)


def test_folders_that_do_not_fit(tmp_path):
  for path, message in (
    (tmp_path / 'absent', 'is no folder'),
    (tmp_path, 'has no train and test folders'),
  ):
    with pytest.raises(data.DataError, match=message):
      data.folder(str(path))
  for i in range(3):
    _save(pathlib.Path(tmp_path, 'only', f'{i}.png'), _pixels(4, 4))
  with pytest.raises(data.DataError, match='two or more classes, it has only'):
    data.folder(str(tmp_path), test_fraction=0.5)
  root = _make(tmp_path / 'both')
  with pytest.raises(data.DataError, match="has the folder 'test'"):
    data.folder(str(root), test_fraction=0.5)
