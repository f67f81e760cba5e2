"""Data sets by their options: folders, arrays, splits, views and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from kdjax import data, tasks
from kdjax.options import OptionError
from kdjax.tasks import Options

_RANDOM = np.random.default_rng(0)


@pytest.fixture(scope='module')
def unequal(tmp_path_factory):
  """A folder of 24 images of ants and 8 of bees, of all sizes."""
  root = tmp_path_factory.mktemp('folder')
  for part in ('train', 'test'):
    for name, count in (('ant', 24), ('bee', 8)):
      folder = root / part / name
      folder.mkdir(parents=True)
      for i in range(count):
        shape = (*_RANDOM.integers(36, 60, 2), 3)
        pixels = _RANDOM.integers(0, 256, shape).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f'{i}.png')
  return f'folder:{root}'


@pytest.fixture(scope='module')
def arrays(tmp_path_factory):
  """40 images of 9 x 9 in 2 classes, 30 of them in the first."""
  path = tmp_path_factory.mktemp('arrays') / 'own.npz'
  image = _RANDOM.integers(0, 256, (40, 9, 9)).astype(np.uint8)
  np.savez(path, image=image, label=np.repeat([0, 1], [30, 10]))
  return f'arrays:{path}'


def _refused(message, **options):
  with pytest.raises(OptionError, match=message) as caught:
    tasks.load(Options(**options))
  assert '\n' not in str(caught.value)


def test_images_of_unequal_size(unequal):
  dataset, task = tasks.load(Options(dataset=unequal))
  assert dataset.image_size == 32
  assert task.name == unequal
  assert task.class_names == ('ant', 'bee')
  assert task.remarks == (
    'Images of unequal size are seen at 32 x 32 pixels (--image_size).',
  )
  assert task.views.name == 'resized_crop32_flip_of1000'
  shapes = task.batch(4)
  assert shapes['size'].shape == (4, 2)
  seen = task.augmented(4)
  assert seen['image'].shape == (4, 32, 32, 3)
  assert 'size' not in seen
  assert seen['label'] == shapes['label']


def test_images_of_one_size_stay_as_they_are(arrays):
  """Training on them is what it was before there were others."""
  dataset, task = tasks.load(Options(dataset=arrays, test_fraction=0.2))
  assert dataset.image_size is None
  assert task.remarks == ()
  assert set(task.batch()) == {'image', 'label', 'index', 'weight'}
  assert task.views.name == 'crop4_flip'
  assert task.augmented() == task.batch()
  resized = Options(dataset=arrays, test_fraction=0.2, image_size=16)
  assert tasks.load(resized)[0].image_size == 16


@pytest.mark.parametrize(
  ('augmentation', 'name', 'total'),
  [
    ('none', 'none', 1),
    ('random_resized_crop', 'resized_crop24_flip_of1000', 1000),
    (
      'random_resized_crop_jitter',
      'resized_crop24_flip_of1000_jitter0.4-0.4-0.4_of20',
      20_000,
    ),
  ],
)
def test_augmentations(unequal, augmentation, name, total):
  options = Options(dataset=unequal, image_size=24, augmentation=augmentation)
  views = tasks.load(options)[1].views
  assert (views.name, views.total) == (name, total)


def test_validation_is_a_part_of_training(unequal):
  whole = tasks.load(Options(dataset=unequal))[1]
  dataset, task = tasks.load(Options(dataset=unequal, validation_fraction=0.25))
  assert (whole.split, task.split) == ('test', 'validation')
  assert dataset.counts() == {
    'ant': {'train': 18, 'test': 6},
    'bee': {'train': 6, 'test': 2},
  }
  parts = [source.arrays()['image'] for source in (task.train, task.test)]
  both = {x.tobytes() for part in parts for x in part}
  assert both == {x.tobytes() for x in whole.train.arrays()['image']}


def _values(task, label, logits):
  student = {'logits': jnp.asarray(logits, jnp.float32)}
  variables = task.objective.init(jax.random.key(0), student, {})
  batch = {'label': jnp.asarray(label)}
  step = jnp.int32(0)
  return float(task.objective.apply(variables, student, {}, batch, step)[0])


def test_balanced_class_weights(unequal):
  options = Options(dataset=unequal, class_weights='balanced')
  _, task = tasks.load(options)
  # 32 examples: 32 / (2 * 24) and 32 / (2 * 8).
  assert task.class_weights == pytest.approx((2 / 3, 2.0))
  even = np.zeros((3, 2))
  found = _values(task, np.int32([0, 0, 1]), even)
  assert found == pytest.approx(np.log(2) * (2 / 3 + 2 / 3 + 2) / 3, rel=1e-5)
  # A student of as many examples of each class needs no weights.
  student = tasks.transfer(
    Options(dataset=unequal, class_weights='balanced', transfer_examples=8),
    task,
    0,
  )
  assert student.class_weights == (1.0, 1.0)
  assert _values(student, np.int32([0, 0, 1]), even) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
  ('transfer', 'counts'), [('balanced', [8, 8]), ('proportional', [12, 4])]
)
def test_transfer_sets(unequal, transfer, counts):
  options = Options(dataset=unequal, transfer=transfer, transfer_examples=16)
  task = tasks.transfer(options, tasks.load(options)[1], 0)
  assert np.bincount(task.train.labels()).tolist() == counts


def test_mixing(arrays):
  options = {'dataset': arrays, 'test_fraction': 0.2}
  _, task = tasks.load(Options(**options, mixup=0.2, cutmix=1.0))
  assert task.views.name == 'crop4_flip_mixup0.2_cutmix1'
  assert task.augmented(6)['label'] == jax.ShapeDtypeStruct((6, 2), jnp.float32)
  assert task.batch(6)['label'].shape == (6,)


def test_options_that_do_not_fit(unequal, arrays, tmp_path):
  _refused(
    r'test_fraction=0.2: needs dataset=folder:\.\.\. or dataset=arrays:',
    test_fraction=0.2,
  )
  _refused('broken_images=skip: needs dataset=folder', broken_images='skip')
  _refused('canvas=9: needs dataset=folder', dataset=arrays, canvas=9)
  _refused(
    'canvas=9: must be at least image_size=20',
    dataset=unequal,
    canvas=9,
    image_size=20,
  )
  _refused(
    'augmentation=shift: needs images of one size',
    dataset=unequal,
    augmentation='shift',
  )
  _refused(
    r'mixup=0.5: needs images of one size',
    dataset=unequal,
    augmentation='none',
    mixup=0.5,
  )
  _refused('dataset=arrays:.*: .* state the share', dataset=arrays)
  _refused('is no folder', dataset=f'folder:{tmp_path}/none')
  path = tmp_path / 'wide.npz'
  image = np.zeros((4, 5, 9), np.uint8)
  np.savez(path, image=image, label=[0, 1, 0, 1])
  _refused(
    'random_resized_crop: needs image_size, as images are 5x9',
    dataset=f'arrays:{path}',
    test_fraction=0.5,
    augmentation='random_resized_crop',
  )
  for name, value in (('validation_fraction', 1.0), ('test_fraction', 0.0)):
    with pytest.raises(OptionError, match=f'{name}=.*above 0 and below 1'):
      Options(**{name: value})


def test_a_task_of_arrays_and_of_a_data_set():
  images = _RANDOM.integers(0, 256, (12, 5, 5, 3)).astype(np.uint8)
  labels = np.arange(12)[:, None] % 3
  task = tasks.images(
    (images, labels),
    (images[:3], labels[:3]),
    name='own',
    class_names=('a', 'b', 'c'),
    views=data.flip_views(),
    reported=('balanced_accuracy', 'loss'),
  )
  assert (task.name, task.views.name) == ('own', 'flip')
  assert list(task.measures) == ['balanced_accuracy', 'loss']
  np.testing.assert_array_equal(task.train.arrays()['image'], images)
  assert task.train.labels().tolist() == labels[:, 0].tolist()
  assert tasks.unbalanced(task) is None


@pytest.mark.parametrize(('few', 'is_unbalanced'), [(8, False), (7, True)])
def test_unbalanced_classes_are_counted(few, is_unbalanced):
  labels = np.repeat([0, 1], [12, few])
  images = np.zeros((len(labels), 4, 4), np.uint8)
  task = tasks.images((images, labels), (images[:13], labels[:13]))
  counts = {'0': {'train': 12, 'test': 12}, '1': {'train': few, 'test': 1}}
  assert tasks.unbalanced(task) == (counts if is_unbalanced else None)


def test_balanced_weights_are_those_of_scikit_learn():
  from sklearn.utils import class_weight

  labels = _RANDOM.choice(4, 60, p=[0.6, 0.2, 0.15, 0.05])
  expected = class_weight.compute_class_weight(
    'balanced', classes=np.unique(labels), y=labels
  )
  assert len(expected) == 4
  assert tasks.balanced_weights(labels, 4) == pytest.approx(expected)
  assert tasks.balanced_weights([0, 2, 2], 3) == (1.5, 1.0, 0.75)
