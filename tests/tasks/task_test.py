"""Tasks: what a batch holds, and what a classification is by default."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import data, tasks

_RANDOM = np.random.default_rng(0)


def _pictures(examples):
  return data.from_arrays(
    _RANDOM.integers(0, 200, (examples, 4, 5, 3)).astype(np.uint8),
    np.arange(examples) % 3,
  )


def _texts(indices):
  count = len(indices)
  return {
    'tokens': np.zeros((count, 9), np.int32),
    'mask': np.ones((count, 9), bool),
    'score': np.zeros((count, 2), np.float32),
    'label': np.zeros(count, np.int32),
  }


def _shape(shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype)


@pytest.mark.parametrize('examples', [1, 2, 7])
def test_a_batch_of_pictures(examples):
  task = tasks.classification('pictures', _pictures(6), _pictures(3), 3)
  assert task.batch(examples) == {
    'image': _shape((examples, 4, 5, 3), jnp.uint8),
    'label': _shape((examples,), jnp.int32),
    'index': _shape((examples,), jnp.int32),
    'weight': _shape((examples,), jnp.float32),
  }
  assert task.batch() == task.batch(2)


def test_a_batch_of_anything_else():
  source = data.Source(_texts, 5)
  task = tasks.classification('texts', source, source, 2)
  assert task.batch(3) == {
    'tokens': _shape((3, 9), jnp.int32),
    'mask': _shape((3, 9), jnp.bool_),
    'score': _shape((3, 2), jnp.float32),
    'label': _shape((3,), jnp.int32),
    'index': _shape((3,), jnp.int32),
    'weight': _shape((3,), jnp.float32),
  }


def test_a_batch_reads_one_example():
  asked = []

  def read(indices):
    asked.append(len(indices))
    return _texts(indices)

  source = data.Source(read, 1000)
  tasks.classification('texts', source, source, 2).batch(64)
  assert asked == [1]


def test_it_is_the_batch_that_a_stream_gives():
  task = tasks.classification('pictures', _pictures(6), _pictures(3), 3)
  order = data.epoch_order(jax.random.key(0), 6, 4)
  for batch in data.batches(task.train, *order):
    shapes = {
      name: _shape(values.shape, values.dtype) for name, values in batch.items()
    }
    assert shapes == task.batch(4)


def test_the_note_of_a_batch_comes_back():
  source = data.Source(_texts, 5)
  batch = tasks.classification('texts', source, source, 2).batch(3)
  note = tasks.note_of_batch(batch)
  assert note['tokens'] == {'shape': [9], 'dtype': 'int32'}
  assert note['mask'] == {'shape': [9], 'dtype': 'bool'}
  assert note['weight'] == {'shape': [], 'dtype': 'float32'}
  note = json.loads(json.dumps(note))
  assert tasks.batch_of_note(note, 3) == batch
  assert tasks.batch_of_note(note) == tasks.classification(
    'texts', source, source, 2
  ).batch(2)
  # Half precision has a name too.
  half = {'x': _shape((2, 5), jnp.bfloat16)}
  assert tasks.batch_of_note(tasks.note_of_batch(half)) == half


def test_the_defaults_of_a_classification():
  train, test = _pictures(6), _pictures(3)
  task = tasks.classification('pictures', train, test, 3)
  assert (task.name, task.train, task.test) == ('pictures', train, test)
  assert (task.views.name, task.views.total) == ('none', 1)
  assert list(task.measures) == ['accuracy', 'loss']


def test_what_is_asked_of_a_classification():
  views = data.flip_views()
  source = _pictures(6)
  reported = ('macro_f1', 'accuracy')
  task = tasks.classification(
    'pictures', source, source, 3, views=views, reported=reported
  )
  assert task.views is views
  assert tuple(task.measures) == reported
  with pytest.raises(ValueError, match='some of accuracy'):
    tasks.classification('pictures', source, source, 3, reported=('auc',))
  with pytest.raises(ValueError, match='top_5 needs 5 classes'):
    tasks.classification('pictures', source, source, 3, reported=('top_5',))


def test_the_objective_is_the_cross_entropy_of_the_labels():
  source = _pictures(6)
  loss = tasks.classification('pictures', source, source, 3).objective
  logits = jnp.asarray(_RANDOM.normal(size=(4, 3)), jnp.float32)
  student = {'logits': logits}
  variables = loss.init(jax.random.key(0), student, {})
  batch = {
    'label': jnp.int32([0, 2, 1, 1]),
    'weight': jnp.float32([2.0, 1.0, 1.0, 0.0]),
  }
  value, _, found = loss.apply(variables, student, {}, batch, jnp.int32(0))
  log_probs = np.float64(logits)
  log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
  losses = -log_probs[np.arange(4), [0, 2, 1, 1]]
  expected = (2 * losses[0] + losses[1] + losses[2]) / 4
  assert float(value) == pytest.approx(expected, rel=1e-5)
  assert set(found) == {'labels'}
