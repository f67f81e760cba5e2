"""A whole recipe over objects of one's own: no names, no images, no zoo."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich import console
from sklearn import metrics
from small_experiments import Observer

from kdjax import (
  checkpoint,
  data,
  methods,
  models,
  recipes,
  reports,
  tasks,
  training,
  transforms,
)

_FEATURES, _CLASSES = 6, 3
_MEASURES = ('accuracy', 'macro_f1', 'ece', 'class_accuracy')


def _table(seed, examples):
  """Rows of a table: three overlapping clouds, one of them rare."""
  random = np.random.default_rng(seed)
  labels = random.choice(_CLASSES, examples, p=[0.5, 0.4, 0.1])
  centres = np.random.default_rng(7).normal(size=(_CLASSES, _FEATURES))
  rows = centres[labels] + random.normal(size=(examples, _FEATURES))
  return data.from_mapping(
    {'row': rows.astype(np.float32), 'label': labels.astype(np.int32)}
  )


_TRAIN, _TEST = _table(0, 90), _table(1, 70)


def _row(batch):
  return batch['row']


class _Teacher(nnx.Module):
  def __init__(self, rngs):
    self.hidden = nnx.Linear(_FEATURES, 16, rngs=rngs)
    self.norm = nnx.BatchNorm(16, rngs=rngs)
    self.head = nnx.Linear(16, _CLASSES, rngs=rngs)

  def __call__(self, row):
    x = nnx.relu(self.norm(self.hidden(row)))
    self.sow(nnx.Intermediate, 'embedding', x)
    return self.head(x)


def _student():
  """A perceptron of plain functions, whose seeds differ."""

  def init(key, batch):
    del batch
    first, second = jax.random.split(key)
    params = {
      'in': 0.4 * jax.random.normal(first, (_FEATURES, 4)),
      'out': 0.4 * jax.random.normal(second, (4, _CLASSES)),
    }
    return models.ModelVariables(params, {})

  def apply(variables, batch, *, train=False, key=None):
    del train, key
    hidden = jnp.tanh(batch['row'] @ variables.params['in'])
    outputs = {'embedding': hidden, 'logits': hidden @ variables.params['out']}
    return outputs, variables.state

  return models.Model(init, apply, {'model': 'plain'})


_TEACHER, _STUDENT = models.from_nnx(_Teacher, _row), _student()


def _experiment(workdir, observer):
  return training.Experiment(
    tasks.classification('table', _TRAIN, _TEST, _CLASSES, reported=_MEASURES),
    training.Budget(epochs=4, batch_size=32, seeds=2, checkpoint_every=3),
    workdir,
    observer,
    observer,
    training.TeacherOptions(cache='memory_map'),
  )


def _distil(workdir, observer=None):
  experiment = _experiment(workdir, observer or Observer())
  teacher = recipes.train_teacher(experiment, _TEACHER, epochs=20)
  method = methods.named('kd,rkd', temperature=2.0, set='rkd.angle_weight=5')
  return recipes.distil(experiment, _STUDENT, teacher, method)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The recipe that nobody disturbed."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, _distil(workdir)


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _logits(params):
  row = np.float64(_TEST.arrays()['row'])
  return np.tanh(row @ np.float64(params['in'])) @ np.float64(params['out'])


def _reference(params):
  """The measures of a student in float64, by scikit-learn where it has them."""
  logits, labels = _logits(params), _TEST.arrays()['label']
  predicted, classes = logits.argmax(axis=1), range(_CLASSES)
  probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  confidence, right = probs.max(axis=1), predicted == labels
  places = np.ceil(confidence * 15)
  recalls = metrics.recall_score(
    labels, predicted, labels=classes, average=None
  )
  return {
    'accuracy': metrics.accuracy_score(labels, predicted),
    'macro_f1': metrics.f1_score(
      labels, predicted, labels=classes, average='macro', zero_division=0
    ),
    'ece': sum(
      abs((right - confidence)[places == place].sum()) for place in range(1, 16)
    )
    / len(labels),
    **{f'class_accuracy/{i}': recall for i, recall in enumerate(recalls)},
  }


def test_every_student_is_worth_what_is_said(whole):
  _, result = whole
  for fitted in (result.scratch, result.distilled):
    kernels = fitted.variables.params['in']
    assert not np.allclose(kernels[0], kernels[1])
    for seed in range(2):
      params = jax.tree.map(lambda x, i=seed: x[i], fitted.variables.params)
      found = {name: x[seed] for name, x in fitted.measures.items()}
      assert found == pytest.approx(_reference(params), abs=1e-4)
  assert not np.allclose(
    result.scratch.variables.params['in'],
    result.distilled.variables.params['in'],
    atol=1e-3,
  )
  assert result.teacher.measures['accuracy'] > 0.5


def test_the_cache_looks_once_at_every_example(whole):
  _, result = whole
  assert result.cached.computed == 90
  assert result.cached.served == 4 * 96  # epochs of three batches of 32


def test_stopped_in_the_middle_it_goes_on_to_the_same_students(whole, tmp_path):
  listener = Observer(stop_after=('distilled', 2))
  with pytest.raises(training.Interrupted, match='epoch 2 of 4'):
    _distil(tmp_path, listener)
  listener = Observer()
  resumed = _distil(tmp_path, listener)
  assert listener.started == [
    ('teacher', 20, 20),
    ('scratch', 4, 4),
    ('distilled', 4, 2),
  ]
  assert listener.epochs == [('distilled', 3), ('distilled', 4)]
  assert resumed.cached.computed == 0  # all of it was on the disk
  _, expected = whole
  _assert_equal(resumed.teacher.variables, expected.teacher.variables)
  for run in ('scratch', 'distilled'):
    one, other = getattr(resumed, run), getattr(expected, run)
    _assert_equal(one.variables, other.variables)
    _assert_equal(one.measures, other.measures)


def test_what_is_saved_is_loaded_with_its_model(whole):
  workdir, result = whole
  for place, network in enumerate(
    recipes.load(workdir / 'distilled', model=_STUDENT)
  ):
    assert network.model is _STUDENT
    _assert_equal(
      network.variables,
      jax.tree.map(lambda x, i=place: x[i], result.distilled.variables),
    )
  (teacher,) = recipes.load(workdir, model=_TEACHER)
  _assert_equal(teacher.variables, result.teacher.variables)
  with pytest.raises(checkpoint.CheckpointError, match="'plain', which kdjax"):
    recipes.load(workdir / 'distilled')
  with pytest.raises(checkpoint.CheckpointError, match='another architecture'):
    recipes.load(workdir / 'distilled', model=_TEACHER)


def test_the_summary_is_json_with_every_measure(whole):
  _, result = whole
  summary = recipes.summarise(result, 3.0)
  assert json.loads(json.dumps(summary)) == summary
  assert (summary['dataset'], summary['method']) == ('table', 'kd,rkd')
  assert summary['student']['model'] == 'plain'
  assert summary['student']['parameters'] == 6 * 4 + 4 * 3
  assert summary['teacher']['model'] == '_Teacher'
  assert summary['teacher']['parameters'] == 6 * 16 + 16 + 2 * 16 + 16 * 3 + 3
  assert summary['measure']['name'] == 'accuracy'
  names = [f'class_accuracy/{i}' for i in range(_CLASSES)]
  assert list(summary['measures']) == ['accuracy', 'macro_f1', 'ece', *names]
  for name, found in summary['measures'].items():
    assert found['higher_is_better'] == (name != 'ece')
    assert found['teacher'] == result.teacher.measures[name]
    means = {}
    for run in ('scratch', 'distilled'):
      values = np.float64(getattr(result, run).measures[name])
      assert found[run][name] == values.tolist()
      means[run] = values.mean()
    assert found['gain']['mean'] == pytest.approx(
      means['distilled'] - means['scratch']
    )
  assert summary['teacher_cache'] == {'computed': 90, 'served': 384}


def test_the_report_shows_every_measure(whole):
  _, result = whole
  summary = recipes.summarise(result, 3.0)
  output = console.Console(file=io.StringIO(), width=160)
  reports.print_summary(summary, output)
  text = output.file.getvalue()
  for name, found in summary['measures'].items():
    lines = [line for line in text.splitlines() if f'{name} %' in line]
    assert lines, name
    if name == 'accuracy':
      continue  # a column, not a row
    (line,) = lines
    assert f'{100 * found["teacher"]:.2f}' in line
    for run in ('scratch', 'distilled'):
      mean, std = (100 * found[run][key] for key in ('mean', 'std'))
      assert f'{mean:.2f} ± {std:.2f}' in line
  for run in ('teacher', 'scratch', 'distilled'):
    rows = [line for line in text.splitlines() if line.strip().startswith(run)]
    value = summary[run]['accuracy' if run == 'teacher' else 'mean']
    assert f'{100 * value:.2f}' in rows[0]
  assert 'The teacher computed 90 of 384 views' in text


@pytest.mark.parametrize(
  ('known', 'task'),
  [
    ({}, ''),
    ({'accuracy': 0.1, 'loss': 9.0}, 'table'),
    ('wrong', 'other'),
  ],
)
def test_a_teacher_of_another_task_is_measured_anew(
  whole, tmp_path, known, task
):
  _, taught = whole
  if known == 'wrong':  # all measures, of another task
    known = dict.fromkeys(taught.teacher.measures, 0.5)
  teacher = taught.teacher._replace(measures=known, task=task)
  result = recipes.distil(
    _experiment(tmp_path, Observer()),
    _STUDENT,
    teacher,
    methods.named('kd'),
    scratch=False,
  )
  assert result.teacher.measures == pytest.approx(taught.teacher.measures)
  note = checkpoint.read_note(tmp_path / 'teacher')
  assert set(note['measures']) == set(taught.teacher.measures)
  assert recipes.summarise(result, 1.0)['measures'].keys() == (
    taught.teacher.measures.keys()
  )


def test_a_function_learns_from_a_loss_of_ones_own(whole, tmp_path):
  """All students of a function start from the same variables."""
  _, taught = whole

  def linear(params, row):
    return row @ params

  start = 0.1 * jnp.ones((_FEATURES, _CLASSES))
  student = models.from_function(linear, start, _row)
  loss = transforms.soft_targets(temperature=2.0)
  experiment = _experiment(tmp_path, Observer())
  result = recipes.distil(
    experiment, student, taught.teacher, loss, scratch=False
  )
  assert (result.method, result.student.name) == ('loss', 'linear')
  assert result.scratch is None
  assert not np.allclose(result.student.variables.params, start, atol=1e-3)
  first, second = result.distilled.variables.params
  np.testing.assert_array_equal(first, second)
  labels = _TEST.arrays()['label']
  rows = np.float64(_TEST.arrays()['row'])
  predicted = (rows @ np.float64(first)).argmax(axis=1)
  assert result.student.measures['accuracy'] == pytest.approx(
    np.mean(predicted == labels), abs=1e-6
  )
