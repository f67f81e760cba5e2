"""SimKD: the distilled student is another network than the one from scratch."""

import jax
import numpy as np
import pytest
import small_experiments

from kdjax import checkpoint, recipes
from kdjax.options import OptionError


@pytest.fixture(scope='module')
def outcome(distilled):
  return distilled('simkd')


def test_the_classifier_is_the_teachers_and_stays(outcome):
  result = outcome.result
  head = result.teacher.variables.params['head']
  reused = result.distilled.variables.state['classifier']
  for seed in range(2):
    jax.tree.map(
      lambda x, y, i=seed: np.testing.assert_array_equal(x[i], y), reused, head
    )


def test_it_is_saved_loaded_and_evaluated(outcome):
  note = checkpoint.read_note(outcome.workdir / 'distilled')
  assert (note['model'], note['classifier_of']) == ('mlp_student',) * 2
  assert 'classifier_of' not in checkpoint.read_note(
    outcome.workdir / 'scratch'
  )
  for run in ('scratch', 'distilled'):
    found = recipes.evaluate(outcome.workdir / run, outcome.wired.task)
    for name, values in getattr(outcome.result, run).measures.items():
      assert [one[name] for one in found] == pytest.approx(values.tolist())


def test_the_summary_says_that_the_student_grew(outcome):
  summary = recipes.summarise(outcome.result, 1.0)
  plain = 64 * 16 + 16 + 16 * 10 + 10
  # 1x1, 3x3 and 1x1 convolutions through 8 channels, three batch norms.
  projector = 16 * 8 + 9 * 8 * 8 + 8 * 16 + 2 * (8 + 8 + 16)
  assert summary['scratch']['parameters'] == plain
  assert summary['distilled']['parameters'] == plain + projector
  assert summary['student']['parameters'] == plain + projector


def test_a_distilled_student_teaches_with_its_reused_classifier(
  outcome, wire, tmp_path
):
  """It is no plain `mlp_student`, and is loaded as what it is."""
  wired = wire(teacher_checkpoint=str(outcome.workdir / 'distilled'))
  assert wired.teacher.model.note['classifier_of'] == 'mlp_student'
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(x, y[0]),
    wired.teacher.variables,
    outcome.result.distilled.variables,
  )
  taught = small_experiments.distil(wired, tmp_path, scratch=False)
  assert taught.teacher.measures == pytest.approx(
    outcome.result.student.measures
  )
  # Its own classifier reads a projection, not its last stage.
  wired = wire(
    method='simkd', teacher_checkpoint=str(outcome.workdir / 'distilled')
  )
  with pytest.raises(OptionError, match='method=simkd: needs a teacher'):
    small_experiments.check(wired)


def test_a_teacher_without_a_pooled_last_stage(wire):
  wired = wire(method='simkd', teacher='vit_teacher')
  with pytest.raises(
    OptionError, match=r'method=simkd: needs .* vit_teacher does not'
  ):
    small_experiments.check(wired)
