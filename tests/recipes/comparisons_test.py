"""Ensembles and chains of assistants, each beside what it must beat."""

import jax
import numpy as np
import pytest
import small_experiments
from small_experiments import Observer

from experiments import networks
from kdjax import models, recipes
from kdjax.options import OptionError


@pytest.fixture(scope='module')
def ensembled(wire, tmp_path_factory):
  """Two members and their students, with a cache on disk."""
  workdir, seen = tmp_path_factory.mktemp('ensemble'), Observer()
  wired = wire(teacher_cache='memory_map')
  experiment = wired.experiment._replace(workdir=workdir, observer=seen)
  members = recipes.train_teachers(
    experiment.part('teachers'),
    wired.teacher_model,
    wired.task,
    epochs=2,
    members=2,
  )
  results = recipes.ensemble(experiment, wired.student, members, wired.method)
  return wired, members, results, seen, workdir


def test_the_best_member_stands_before_the_ensemble(ensembled):
  _, members, results, _, _ = ensembled
  assert list(results) == ['best_member', 'ensemble']
  best = max(member.measures['accuracy'] for member in members)
  assert results['best_member'].teacher.measures['accuracy'] == best
  assert results['ensemble'].scratch is results['best_member'].scratch


def test_the_ensemble_answers_with_mean_probabilities(ensembled):
  wired, members, results, _, _ = ensembled
  test = wired.task.test
  images, labels = test.fetch(np.arange(len(test)))['image'], test.labels()
  batch = {'image': images}
  mean = np.mean(
    [
      jax.nn.softmax(m.model.apply(m.variables, batch)[0]['logits'])
      for m in members
    ],
    axis=0,
  )
  accuracy = results['ensemble'].teacher.measures['accuracy']
  assert accuracy == pytest.approx(np.mean(mean.argmax(1) == labels))


def test_each_part_has_a_cache_of_its_own(ensembled):
  _, _, results, _, workdir = ensembled
  for name, result in results.items():
    assert result.cached.computed > 0
    assert any((workdir / 'teacher_cache' / name).iterdir())


def test_a_finished_ensemble_trains_nothing_again(ensembled):
  wired, members, results, _, workdir = ensembled
  seen = Observer()
  experiment = wired.experiment._replace(workdir=workdir, observer=seen)
  again = recipes.ensemble(experiment, wired.student, members, wired.method)
  assert seen.epochs == []
  for name, result in results.items():
    for a, b in zip(
      jax.tree.leaves(result.distilled.variables),
      jax.tree.leaves(again[name].distilled.variables),
      strict=True,
    ):
      np.testing.assert_array_equal(a, b)


def test_gains_are_means_of_paired_differences(ensembled):
  _, _, results, _, _ = ensembled
  summary = recipes.compare(results, 1.0)
  (gain,) = [
    x
    for x in summary['gains']
    if (x['of'], x['over']) == ('ensemble', 'best_member')
  ]
  mean, single = (
    results[name].distilled.measures['accuracy']
    for name in ('ensemble', 'best_member')
  )
  assert gain['mean'] == pytest.approx(np.mean(mean - single))
  assert summary['measures']['accuracy']['gains'] == summary['gains']
  loss = summary['measures']['loss']
  assert (loss['name'], loss['higher_is_better']) == ('loss', False)
  fitted = results['ensemble'].distilled
  assert loss['students']['ensemble']['mean'] == pytest.approx(
    fitted.measures['loss'].mean()
  )
  assert list(loss['students']) == ['scratch', 'best_member', 'ensemble']


def test_students_of_other_sizes_are_not_compared(ensembled):
  wired, _, results, _, _ = ensembled
  single = results['best_member']
  other = networks.make_model(
    small_experiments.given()[models.Options], wired.dataset, 'mlp_assistant'
  )
  batch = wired.task.test.fetch(np.arange(2))
  variables = other.init(jax.random.key(0), batch)
  wider = single.distilled._replace(
    model=other._replace(note=single.student.model.note),
    variables=jax.tree.map(lambda x: np.stack([x, x]), variables),
  )
  summary = recipes.compare(
    {**results, 'wider': single._replace(distilled=wider)}, 1.0
  )
  assert 'wider' in summary['students']
  assert not [g for g in summary['gains'] if 'wider' in (g['of'], g['over'])]


def test_a_chain_passes_through_its_assistants(wire, tmp_path):
  wired, seen = wire(), Observer()
  experiment = wired.experiment._replace(workdir=tmp_path, observer=seen)
  teacher = small_experiments.train_teacher(wired, tmp_path)
  assistant = networks.make_model(
    small_experiments.given()[models.Options], wired.dataset, 'mlp_assistant'
  )
  results = recipes.assistants(
    experiment, wired.student, [assistant], teacher, wired.method
  )
  assert list(results) == ['direct', 'assistant1', 'chain']
  assert [run for run, _, _ in seen.started] == [
    'direct/scratch',
    'direct/distilled',
    'assistant1/distilled',
    'chain/distilled',
  ]
  assert results['direct'].teacher.model.name == teacher.model.name
  assert results['assistant1'].student.name == 'mlp_assistant'
  taught_by = results['chain'].teacher
  for a, b in zip(
    jax.tree.leaves(taught_by.variables),
    jax.tree.leaves(results['assistant1'].student.variables),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)
  assert results['chain'].scratch is results['direct'].scratch
  # One assistant, however many students.
  assert len(results['assistant1'].distilled.measures['accuracy']) == 1
  assert len(results['chain'].distilled.measures['accuracy']) == 2


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    ('mlp_teacher,mlp_teacher', 'names mlp_teacher twice'),
    ('mlp_teacher,nobody', 'must be one of'),
  ],
)
def test_names_of_teachers(wire, names, message):
  with pytest.raises(OptionError, match=message) as caught:
    networks.make_models(
      small_experiments.given(), wire().dataset, 'teachers', names
    )
  assert str(caught.value).startswith('teachers=')
