"""What the observer hears of the stages, and what each of them trains."""

import jax
import numpy as np

from kdjax import data, recipes, training, transforms
from kdjax.recipes import programs


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _load(workdir, run, experiment, name='mlp_student'):
  return recipes.load_variables(
    experiment.settings, experiment.dataset, workdir / run, name
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


def _start(experiment):
  """The students before their first step."""
  settings, dataset, _ = experiment
  return training.init_students(
    (0, 1),
    recipes.make_model(settings, dataset, 'mlp_student'),
    transforms.labels(),
    training.make_optimizer('sgd', 0.1),
    programs.batch_shapes(dataset),
    {},
  ).model


def test_the_hint_stage_leaves_upper_layers_alone(distilled):
  outcome = distilled('fitnets')
  start = _start(outcome.experiment).params
  hint = _load(outcome.workdir, 'hint', outcome.experiment).params
  _assert_equal(hint['head'], start['head'])
  for name, leaf in start['stage1']['dense'].items():
    assert not np.array_equal(hint['stage1']['dense'][name], leaf)
  end = outcome.result.distilled.variables.params
  assert not np.array_equal(end['head']['kernel'], start['head']['kernel'])


def test_the_second_stage_goes_on_where_the_first_ended(distilled):
  outcome = distilled('fitnets')
  assert outcome.orders == [[0, 1], [0], [1]]  # scratch, hint, distilled
  start = _start(outcome.experiment).params['stage1']['dense']['kernel']
  hint = _load(outcome.workdir, 'hint', outcome.experiment)
  hint = hint.params['stage1']['dense']['kernel']
  end = outcome.result.distilled.variables.params['stage1']['dense']['kernel']
  # What the hint stage has added is still there: the second stage's own part
  # is about as long and points elsewhere.
  first, rest = np.ravel(hint - start), np.ravel(end - start)
  assert first @ rest > 0.7 * first @ first


def test_the_transfer_set_is_what_the_student_sees(distilled):
  outcome = distilled('kd', stream=True, scratch=False)
  train = outcome.experiment.dataset.train.arrays()
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
