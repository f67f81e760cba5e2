"""What the observer hears of the stages, and what each of them trains."""

import jax
import numpy as np

from kdjax import data, recipes, training


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _stacked(workdir, run):
  """The variables that a run has saved, one model per seed."""
  networks = recipes.load(workdir / run)
  return jax.tree.map(
    lambda *leaves: np.stack(leaves), *(one.variables for one in networks)
  )


def test_the_observer_hears_of_every_epoch(distilled):
  observer = distilled('fitnets').observer
  assert observer.started == [
    ('scratch', 2, 0),
    ('hint', 1, 0),
    ('distilled', 1, 0),
  ]
  assert observer.epochs == [
    ('scratch', 1),
    ('scratch', 2),
    ('hint', 1),
    ('distilled', 1),
  ]
  for run, _, seeds, train, test in observer.values:
    assert tuple(seeds) == (0, 1)
    assert set(test) == {'accuracy', 'loss'}
    names = {
      'scratch': {'labels'},
      'hint': {'hint'},
      'distilled': {'labels', 'soft'},
    }[run]
    assert set(train) == {'loss', 'accuracy', 'gradient_norm'} | names
    for values in (*train.values(), *test.values()):
      assert values.shape == (2,)


def _start(wired):
  """The students before their first step."""
  return training.init_students(
    (0, 1),
    wired.student,
    wired.task.objective,
    training.make_optimizer('sgd', 0.1),
    wired.task.batch(),
    {},
  ).model


def test_the_hint_stage_leaves_upper_layers_alone(distilled):
  outcome = distilled('fitnets')
  start = _start(outcome.wired).params
  hint = _stacked(outcome.workdir, 'hint').params
  _assert_equal(hint['head'], start['head'])
  for name, leaf in start['stage1']['dense'].items():
    assert not np.array_equal(hint['stage1']['dense'][name], leaf)
  end = outcome.result.distilled.variables.params
  assert not np.array_equal(end['head']['kernel'], start['head']['kernel'])


def test_the_second_stage_goes_on_where_the_first_ended(distilled):
  outcome = distilled('fitnets')
  assert outcome.orders == [[0, 1], [0], [1]]  # scratch, hint, distilled
  start = _start(outcome.wired).params['stage1']['dense']['kernel']
  hint = _stacked(outcome.workdir, 'hint').params['stage1']['dense']['kernel']
  end = outcome.result.distilled.variables.params['stage1']['dense']['kernel']
  # What the hint stage has added is still there: the second stage's own part
  # is about as long and points elsewhere.
  first, rest = np.ravel(hint - start), np.ravel(end - start)
  assert first @ rest > 0.7 * first @ first


def test_the_transfer_set_is_what_the_student_sees(distilled):
  outcome = distilled('kd', stream=True, scratch=False)
  train = outcome.wired.dataset.train.arrays()
  subset = data.transfer_subset(0, train['label'], 120)
  wanted = sorted(train['image'][subset].reshape(120, -1).tolist())
  training_batches = [x for x in outcome.batches if len(x['label']) == 64]
  shown = [
    image
    for batch in training_batches
    for image in batch['image'][batch['weight'] > 0].reshape(-1, 64).tolist()
  ]
  for epoch in np.split(np.arange(240), 2):
    assert sorted(shown[i] for i in epoch) == wanted
