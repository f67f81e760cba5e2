"""SimKD: the distilled student is another network than the one from scratch."""

import jax
import numpy as np
import pytest

from kdjax import checkpoint, recipes


@pytest.fixture(scope='module')
def outcome(make_settings, teacher_dir, observer, tmp_path_factory):
  settings = make_settings(method='simkd', teacher_checkpoint=str(teacher_dir))
  workdir = tmp_path_factory.mktemp('run')
  experiment = recipes.prepare(settings)
  return workdir, recipes.distill(experiment, workdir, observer())


def test_the_classifier_is_the_teachers_and_stays(outcome):
  _, result = outcome
  head = result.teacher.variables.params['head']
  reused = result.distilled.variables.state['classifier']
  for seed in range(2):
    jax.tree.map(
      lambda x, y, i=seed: np.testing.assert_array_equal(x[i], y), reused, head
    )


def test_it_is_saved_loaded_and_evaluated(outcome):
  workdir, result = outcome
  note = checkpoint.read_note(workdir / 'distilled')
  assert (note['model'], note['classifier_of']) == ('mlp_student',) * 2
  data_dir = result.experiment.settings.data_dir
  found = recipes.evaluate(workdir / 'distilled', data_dir=data_dir)
  assert [one['accuracy'] for one in found] == pytest.approx(
    result.distilled.accuracy.tolist()
  )
  plain = recipes.evaluate(workdir / 'scratch', data_dir=data_dir)
  assert [one['accuracy'] for one in plain] == pytest.approx(
    result.scratch.accuracy.tolist()
  )


def test_the_summary_says_that_the_student_grew(outcome):
  summary = recipes.summarise(outcome[1], 1.0)
  plain = 64 * 16 + 16 + 16 * 10 + 10
  # 1x1, 3x3 and 1x1 convolutions through 8 channels, three batch norms.
  projector = 16 * 8 + 9 * 8 * 8 + 8 * 16 + 2 * (8 + 8 + 16)
  assert summary['scratch']['parameters'] == plain
  assert summary['distilled']['parameters'] == plain + projector
  assert summary['student']['parameters'] == plain + projector


def test_a_distilled_student_is_no_plain_teacher(outcome, make_settings):
  workdir, _ = outcome
  settings = make_settings(teacher_checkpoint=str(workdir / 'distilled'))
  with pytest.raises(recipes.SettingsError, match="classifier_of is 'mlp_stu"):
    recipes.prepare(settings)


def test_a_teacher_without_a_pooled_last_stage(make_settings):
  settings = make_settings(method='simkd', teacher='vit_teacher')
  with pytest.raises(
    recipes.SettingsError, match=r'method=simkd: needs .* vit_teacher does not'
  ):
    recipes.prepare(settings)
