"""Loading: what cannot be read is said in one line; CIFAR-10 is read right."""

import io
import json
import re
import shutil
import types

import array_record.python.array_record_module as array_record
import numpy as np
import PIL.Image
import pytest

from kdjax import data
from kdjax.data import prepared, tfds_source


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  data.load('digits', str(folder))
  return folder


@pytest.fixture
def copy(digits, tmp_path):
  """A prepared folder to spoil."""
  shutil.copytree(digits, tmp_path / 'data')
  return tmp_path / 'data' / 'digits' / '1.0.0'


def _message(name, folder):
  with pytest.raises(data.DataError) as error:
    data.load(name, str(folder))
  message = str(error.value)
  assert '\n' not in message
  return message


def _edit(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))


def test_unknown_data_set(tmp_path):
  assert _message('cifar11', tmp_path) == (
    "Unknown data set 'cifar11'; close matches: cifar10_1, cifar10, cifar100;"
    ' tensorflow_datasets.list_builders() lists all.'
  )
  assert 'close matches: digits;' in _message('digit', tmp_path)
  assert _message('qqqqqq', tmp_path).startswith("Unknown data set 'qqqqqq'; t")


@pytest.mark.parametrize('name', ['', 'a b', '../digits', 'a/b/c', 'a:1'])
def test_impossible_name(name, tmp_path):
  assert _message(name, tmp_path).endswith(f', got {name!r}.')


def test_known_but_not_prepared(tmp_path):
  assert _message('cifar100', tmp_path) == (
    f"'cifar100' is not prepared in {tmp_path}; on a machine with TensorFlow"
    ' and a network run `tfds build cifar100 --file_format=array_record'
    f' --data_dir={tmp_path}`.'
  )


def test_every_default_folder_is_named(monkeypatch, tmp_path):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'one'))
  monkeypatch.setenv('HOME', str(tmp_path / 'two'))
  with pytest.raises(data.DataError) as error:
    data.load('cifar100')
  assert str(tmp_path / 'one') in str(error.value)
  assert str(tmp_path / 'two') in str(error.value)
  assert list(tmp_path.iterdir()) == []


def test_another_format(copy):
  _edit(copy / 'dataset_info.json', 'array_record', 'tfrecord')
  message = _message('digits', copy.parents[1])
  assert f'{copy} is prepared as tfrecord, not as array_record' in message


def test_missing_records(copy):
  missing = copy / 'digits-test.array_record-00000-of-00001'
  missing.unlink()
  assert _message('digits', copy.parents[1]) == (
    f"'digits' is incomplete: {missing} is missing."
  )


def test_missing_description(copy):
  (copy / 'dataset_info.json').unlink()
  message = _message('digits', copy.parents[1])
  assert message.startswith(f"Cannot read 'digits' in {copy.parents[1]}: ")


def test_no_image(copy):
  _edit(copy / 'features.json', '"image"', '"picture"')
  assert _message('digits', copy.parents[1]) == (
    "'digits' must have the features 'image' and 'label', it has label,"
    ' picture.'
  )


def test_image_of_another_type(copy):
  _edit(copy / 'features.json', '"uint8"', '"float32"')
  assert 'must be uint8 of rank 2 or 3, it is float32 of shape (8, 8, 1)' in (
    _message('digits', copy.parents[1])
  )


def test_label_that_is_no_class(copy):
  path = copy / 'features.json'
  features = json.loads(path.read_text())
  entries = features['featuresDict']['features']
  entries['label'] = entries['image']
  path.write_text(json.dumps(features))
  message = _message('digits', copy.parents[1])
  assert "'label' of 'digits' must be a class, it is Tensor" in message


def test_no_test_split(copy):
  _edit(copy / 'dataset_info.json', '"test"', '"extra"')
  assert _message('digits', copy.parents[1]) == (
    "'digits' must have the split 'train' and labels in 'test' or 'validation',"
    ' it has train, extra.'
  )


class _Records(list):
  def __getitems__(self, indices):
    return [self[index] for index in indices]


def _png(pixels):
  file = io.BytesIO()
  PIL.Image.fromarray(pixels).save(file, 'png')
  return file.getvalue()


def _builder(**splits):
  """What `open_prepared` needs of a TFDS builder, with images of any size."""
  image = types.SimpleNamespace(np_dtype=np.uint8, shape=(None, None, 3))
  label = types.SimpleNamespace(num_classes=4, names=list('abcd'))
  records = {
    split: _Records(
      {'image': np.full(shape, 9, np.uint8), 'label': label}
      for shape, label in examples
    )
    for split, examples in splits.items()
  }
  info = types.SimpleNamespace(
    features={'image': image, 'label': label},
    available_file_formats=lambda: [
      types.SimpleNamespace(value='array_record')
    ],
    splits={
      split: types.SimpleNamespace(num_examples=len(examples), filepaths=[])
      for split, examples in splits.items()
    },
  )
  return types.SimpleNamespace(
    info=info,
    as_data_source=lambda split, file_format, decoders=None: _Records(
      {'image': _png(x['image']), 'label': x['label']} if decoders else x
      for x in records[split]
    ),
  )


def test_images_of_differing_sizes():
  small, large = ((40, 40, 3), 1), ((40, 90, 3), 2)
  builder = _builder(train=[small, small, large], test=[small])
  found = prepared.open_prepared('mixed', builder, 'undecoded')
  assert found.image_size == 32
  assert found.image_shape == (64, 64, 3)
  examples = found.train.fetch([2, 0])
  # The longer side is reduced to twice the size.
  assert examples['size'].tolist() == [[28, 64], [40, 40]]
  assert examples['label'].tolist() == [2, 1]
  assert np.all(examples['image'][0, :28] == 9)
  assert np.all(examples['image'][0, 28:] == 0)
  assert found.train.labels().tolist() == [1, 1, 2]
  assert found.counts() == {
    'a': {'train': 0, 'test': 0},
    'b': {'train': 2, 'test': 1},
    'c': {'train': 1, 'test': 0},
    'd': {'train': 0, 'test': 0},
  }
  # Only real pixels count.
  assert (found.mean, found.std) == ((9.0,) * 3, (1.0,) * 3)


def test_a_large_image_among_equal_ones_is_found_late():
  small, large = ((4, 4, 3), 1), ((4, 5, 3), 1)
  # The 64 images that are looked at are every second one.
  examples = [small] * 128
  examples[1] = large
  builder = _builder(train=examples, test=[small])
  late = prepared.open_prepared('imagenet2012', builder, 'undecoded')
  assert late.image_shape == (4, 4, 3)
  with pytest.raises(data.DataError, match='state canvas'):
    late.train.fetch([0, 1])
  late = prepared.open_prepared(
    'imagenet2012', builder, 'undecoded', canvas=8, image_size=4
  )
  assert late.train.fetch([0, 1])['size'].tolist() == [[4, 4], [4, 5]]


def test_undeclared_but_equal_sizes():
  example = ((4, 6, 3), 2)
  builder = _builder(train=[example] * 3, test=[example])
  dataset = prepared.open_prepared('own', builder, 'undecoded')
  assert dataset.image_shape == (4, 6, 3)
  assert dataset.mean == (9.0, 9.0, 9.0)
  assert dataset.std == (1.0, 1.0, 1.0)


def test_secret_test_labels_are_passed_over():
  shape = (4, 4, 3)
  builder = _builder(
    train=[(shape, 0)], validation=[(shape, 3)] * 2, test=[(shape, -1)] * 5
  )
  dataset = prepared.open_prepared('imagenet2012', builder, 'undecoded')
  assert len(dataset.test) == 2
  assert dataset.mean == pytest.approx([255 * x for x in (0.485, 0.456, 0.406)])
  assert dataset.std == pytest.approx([255 * x for x in (0.229, 0.224, 0.225)])


@pytest.fixture(scope='module')
def cifar10():
  try:
    return data.load('cifar10')
  except data.DataError as error:
    pytest.skip(str(error))


def test_cifar10_is_described(cifar10):
  assert cifar10.image_shape == (32, 32, 3)
  assert cifar10.classes == 10
  assert (len(cifar10.train), len(cifar10.test)) == (50_000, 10_000)


def test_cifar10_pixels_are_those_in_the_file(cifar10):
  # Behind TFDS' back: the record holds a PNG and a protocol buffer's label.
  builder = tfds_source._find('cifar10', tfds_source._roots(None))
  (path,) = builder.info.splits['test'].filepaths
  reader = array_record.ArrayRecordReader(str(path))
  rows = [0, 1, 2, 4999, 9999]
  examples = cifar10.test.fetch(rows)
  for place, record in enumerate(reader.read(rows)):
    png = io.BytesIO(record[record.index(b'\x89PNG') :])
    label = re.search(rb'\n\x05label\x12.\x1a.\n\x01(.)', record, re.DOTALL)
    np.testing.assert_array_equal(
      examples['image'][place], np.asarray(PIL.Image.open(png))
    )
    assert examples['label'][place] == label.group(1)[0]
  reader.close()


def test_cifar10_constants_fit_the_images(cifar10):
  sample = cifar10.train.take(np.arange(0, 50_000, 25))
  mean, std = data.statistics(sample)
  # 2,000 images: a standard error of about 0.8.
  np.testing.assert_allclose(cifar10.mean, mean, atol=2.5)
  np.testing.assert_allclose(cifar10.std, std, atol=2.5)
