"""Measures against scikit-learn and plain loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from kdjax import tasks
from kdjax.tasks import measures

_CLASSES, _EXAMPLES, _BATCH = 7, 60, 16  # the fourth batch is 12 and padding
_NAMES = (
  'accuracy',
  'loss',
  'top_5',
  'macro_f1',
  'balanced_accuracy',
  'ece',
  'class_accuracy',
)
# No example has class 5, and no network of the first seed predicts class 2.
_ABSENT, _UNPREDICTED = 5, 2


def _examples(seed):
  random = np.random.default_rng(seed)
  labels = random.choice([0, 1, 2, 3, 4, 6], _EXAMPLES).astype(np.int32)
  logits = 2 * random.normal(size=(_EXAMPLES, _CLASSES))
  logits[np.arange(_EXAMPLES), labels] += 1.5
  logits[:, _UNPREDICTED] -= 15 * (seed == 0)
  return logits.astype(np.float32), labels


def _batches(logits, labels):
  """Batches of one size; padding holds NaN and labels that do not exist."""
  for start in range(0, len(labels), _BATCH):
    part = slice(start, start + _BATCH)
    count = len(labels[part])
    padded = np.full((_BATCH, _CLASSES), np.nan, np.float32)
    padded[:count] = logits[part]
    wrong = np.resize(np.int32([-1, _CLASSES, 10**6, 3]), _BATCH)
    wrong[:count] = labels[part]
    yield {'logits': padded}, {'label': wrong}, np.arange(_BATCH) < count


def _measured(name, logits, labels, *, jit=True):
  """The value of a measure, from sums of several batches."""
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  sums_of = jax.jit(measure.sums) if jit else measure.sums
  total = None
  for outputs, batch, real in _batches(logits, labels):
    arguments = jax.tree.map(jnp.asarray, (outputs, batch, real))
    sums = jax.device_get(sums_of(*arguments))
    total = sums if total is None else jax.tree.map(np.add, total, sums)
  return measure.value(total)


def _probs(logits):
  exponents = np.exp(np.float64(logits))
  return exponents / exponents.sum(axis=1, keepdims=True)


def _calibration_error(logits, labels, bins=15):
  """The gap of each bin, weighted by its share of the examples."""
  inside = [[] for _ in range(bins)]
  for probs, label in zip(_probs(logits), labels, strict=True):
    confidence, right = probs.max(), probs.argmax() == label
    for i in range(bins):
      if i / bins < confidence <= (i + 1) / bins:
        inside[i].append((confidence, right))
  assert sum(map(len, inside)) == len(labels)
  error = 0.0
  for pairs in filter(None, inside):
    confidences, rights = zip(*pairs, strict=True)
    gap = abs(np.mean(rights) - np.mean(confidences))
    error += len(pairs) / len(labels) * gap
  return error


def _expected(name, logits, labels):
  predicted, every = logits.argmax(axis=1), range(_CLASSES)
  if name == 'accuracy':
    return metrics.accuracy_score(labels, predicted)
  if name == 'loss':
    return metrics.log_loss(labels, _probs(logits), labels=every)
  if name == 'top_5':
    return metrics.top_k_accuracy_score(labels, logits, k=5, labels=every)
  if name == 'macro_f1':
    return metrics.f1_score(
      labels, predicted, average='macro', labels=every, zero_division=0
    )
  if name == 'balanced_accuracy':
    return metrics.balanced_accuracy_score(labels, predicted)
  return _calibration_error(logits, labels)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize(
  'name',
  ['accuracy', 'loss', 'top_5', 'macro_f1', 'balanced_accuracy', 'ece'],
)
# scikit-learn warns of predictions of a class without examples.
@pytest.mark.filterwarnings('ignore:y_pred contains classes')
def test_against_scikit_learn_and_numpy(name, seed, jit):
  logits, labels = _examples(seed)
  found = _measured(name, logits, labels, jit=jit)
  expected = _expected(name, logits, labels)
  assert 0.01 < expected < 20
  assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('seed', [0, 1])
def test_accuracy_of_every_class(seed):
  logits, labels = _examples(seed)
  found = _measured('class_accuracy', logits, labels)
  recalls = metrics.recall_score(
    labels,
    logits.argmax(axis=1),
    average=None,
    labels=range(_CLASSES),
    zero_division=np.nan,
  )
  assert list(found) == [str(i) for i in range(_CLASSES)]
  np.testing.assert_allclose(list(found.values()), recalls)
  assert np.isnan(found[str(_ABSENT)])
  assert (found[str(_UNPREDICTED)] == 0) == (seed == 0)


def test_the_examples_have_what_they_are_made_for():
  logits, labels = _examples(0)
  assert _ABSENT not in labels
  assert _UNPREDICTED in labels
  assert _UNPREDICTED not in logits.argmax(axis=1)


@pytest.mark.parametrize('name', _NAMES)
def test_several_students_at_once(name):
  """Stacked sums give the values of each student."""
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  labels = _examples(0)[1]
  students = [_examples(seed)[0] for seed in range(3)]
  stacked = jax.tree.map(
    lambda *leaves: np.stack(leaves),
    *(
      jax.device_get(
        measure.sums(
          {'logits': jnp.asarray(logits)},
          {'label': jnp.asarray(labels)},
          jnp.ones(_EXAMPLES, bool),
        )
      )
      for logits in students
    ),
  )
  found = measure.value(stacked)
  for i, logits in enumerate(students):
    alone = _measured(name, logits, labels)
    jax.tree.map(
      lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5),
      found,
      alone,
    )


@pytest.mark.parametrize('name', _NAMES)
def test_sums_over_students_and_devices(name):
  """As evaluation has them: vmapped over students, summed over devices."""
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  students = np.stack([_examples(seed)[0] for seed in range(2)])
  labels = _examples(0)[1]
  devices = 4

  def on_device(logits, label):
    real = jnp.ones(label.shape, bool)
    sums = jax.vmap(
      lambda x: measure.sums({'logits': x}, {'label': label}, real)
    )(logits)
    return jax.lax.psum(sums, 'batch')

  shards = students.reshape(2, devices, -1, _CLASSES).swapaxes(0, 1)
  sums = jax.vmap(on_device, axis_name='batch')(
    shards, labels.reshape(devices, -1)
  )
  found = measure.value(jax.device_get(jax.tree.map(lambda x: x[0], sums)))
  for i in range(2):
    jax.tree.map(
      lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5),
      found,
      _measured(name, students[i], labels),
    )


@pytest.mark.parametrize('name', _NAMES)
def test_padding_leaves_no_trace_in_the_sums(name):
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  logits, labels = _examples(1)
  padded = next(iter(_batches(logits[:10], labels[:10])))
  plain = {'logits': logits[:10]}, {'label': labels[:10]}, np.ones(10, bool)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
    *(
      jax.device_get(measure.sums(*jax.tree.map(jnp.asarray, arguments)))
      for arguments in (padded, plain)
    ),
  )


@pytest.mark.parametrize('name', ['accuracy', 'loss', 'top_5'])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_what_is_watched_has_the_measure_as_its_mean(name, dtype):
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  logits, labels = _examples(1)
  if measure.each is None:
    assert name == 'loss'  # the step reports its own
    return
  rounded = jnp.asarray(logits, dtype)
  each = measure.each({'logits': rounded}, {'label': jnp.asarray(labels)})
  assert (each.shape, each.dtype) == ((_EXAMPLES,), jnp.float32)
  expected = _expected(name, np.float32(rounded), labels)
  assert float(each.mean()) == pytest.approx(expected, rel=1e-6)


def test_the_edges_of_bins():
  """Sure, or as unsure as can be: a bin holds its upper edge."""
  logits = np.float32([[200.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
  measure = measures.calibration_error(bins=2)
  sums = measure.sums(
    {'logits': jnp.asarray(logits)},
    {'label': jnp.int32([0, 0, 1])},
    jnp.ones(3, bool),
  )
  # Confidences 1/2 (one of two right) and 1 (right): perfectly calibrated.
  np.testing.assert_allclose(sums['gap'], [0.0, 0.0], atol=1e-7)
  sums = measure.sums(
    {'logits': jnp.asarray(logits)},
    {'label': jnp.int32([1, 1, 1])},
    jnp.ones(3, bool),
  )
  np.testing.assert_allclose(sums['gap'], [-1.0, -1.0], atol=1e-7)
  assert measure.value(jax.device_get(sums)) == pytest.approx(2 / 3)


def test_logits_of_half_precision_are_summed_in_float32():
  logits, labels = _examples(1)
  half = jnp.asarray(logits, jnp.bfloat16)
  for name in ('loss', 'ece'):
    (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
    sums = measure.sums(
      {'logits': half}, {'label': jnp.asarray(labels)}, jnp.ones(60, bool)
    )
    expected = _expected(name, np.float32(half), labels)
    assert measure.value(jax.device_get(sums)) == pytest.approx(
      expected, rel=1e-5
    )


def test_correct_takes_shares_of_the_classes():
  logits = jnp.float32([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
  assert tasks.correct(
    {'logits': logits}, {'label': jnp.int32([0, 2])}
  ).tolist() == [1.0, 0.0]
  shares = jnp.float32([[0.6, 0.4, 0.0], [0.3, 0.1, 0.6]])
  found = tasks.correct({'logits': logits}, {'label': shares})
  assert found.tolist() == [1.0, 0.0]


def test_values_by_name():
  logits, labels = _examples(1)
  made = tasks.of_classes(_CLASSES, ('ece', 'class_accuracy', 'accuracy'))
  sums = {
    name: jax.device_get(
      measure.sums(
        {'logits': jnp.asarray(logits)},
        {'label': jnp.asarray(labels)},
        jnp.ones(_EXAMPLES, bool),
      )
    )
    for name, measure in made.items()
  }
  found = tasks.values(made, sums)
  assert list(found) == [
    'ece',
    *(f'class_accuracy/{i}' for i in range(_CLASSES)),
    'accuracy',
  ]
  assert found['accuracy'] == pytest.approx(
    metrics.accuracy_score(labels, logits.argmax(axis=1))
  )


@pytest.mark.parametrize('name', _NAMES)
def test_how_a_measure_is_read(name):
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  lower = name in ('loss', 'ece')
  assert measure.higher_is_better == (not lower)
  assert measure.unit == ('nats' if name == 'loss' else '%')


def test_errors_of_of_classes():
  assert measures.names() == _NAMES
  assert tuple(tasks.of_classes(5, _NAMES)) == _NAMES
  with pytest.raises(ValueError, match=r"'f1'.* some of accuracy, loss, top_5"):
    tasks.of_classes(10, ('accuracy', 'f1'))
  with pytest.raises(ValueError, match=r'top_5 needs 5 classes, .* have 4'):
    tasks.of_classes(4, ('top_5',))
  tasks.of_classes(4, ('accuracy', 'macro_f1'))


@pytest.mark.parametrize('name', ['accuracy', 'top_5'])
def test_shares_count_as_their_largest_class(name):
  """Labels of mixed images, as a student's training has them."""
  logits, labels = _examples(0)
  (measure,) = tasks.of_classes(_CLASSES, (name,)).values()
  shares = 0.6 * np.eye(_CLASSES, dtype=np.float32)[labels] + 0.4 / _CLASSES
  found = [
    measure.each({'logits': jnp.asarray(logits)}, {'label': jnp.asarray(x)})
    for x in (labels, shares)
  ]
  np.testing.assert_array_equal(*found)
