"""What the summary says of a distillation."""

import numpy as np
import pytest

from kdjax import recipes


def test_the_summary_holds_what_was_found(distilled):
  result = distilled('kd').result
  summary = recipes.summarise(result, 12.5)
  assert summary['dataset'] == 'digits'
  assert summary['method'] == 'kd'
  assert summary['seeds'] == [0, 1]
  assert summary['devices'] == 8
  assert summary['seconds'] == 12.5
  assert summary['steps_per_second'] > 0
  assert summary['teacher']['accuracy'] == result.teacher.accuracy
  assert summary['student']['parameters'] == 64 * 16 + 16 + 16 * 10 + 10
  for run in ('scratch', 'distilled'):
    accuracy = np.float64(getattr(result, run).accuracy)
    assert summary[run]['accuracy'] == accuracy.tolist()
    assert summary[run]['mean'] == pytest.approx(accuracy.mean())
  assert summary['gain']['mean'] == pytest.approx(
    summary['distilled']['mean'] - summary['scratch']['mean']
  )


def test_the_summary_without_scratch_has_no_gain(distilled):
  result = distilled('kd', stream=True, scratch=False).result
  assert result.scratch is None
  summary = recipes.summarise(result, 1.0)
  assert summary['scratch'] is None
  assert summary['gain'] is None
