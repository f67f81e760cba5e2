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
  assert summary['steps_per_second'] == pytest.approx(
    result.distilled.steps / result.distilled.seconds
  )
  assert summary['teacher']['accuracy'] == result.teacher.measures['accuracy']
  assert summary['student']['parameters'] == 64 * 16 + 16 + 16 * 10 + 10
  for run in ('scratch', 'distilled'):
    accuracy = np.float64(getattr(result, run).measures['accuracy'])
    assert summary[run]['accuracy'] == accuracy.tolist()
    assert summary[run]['mean'] == pytest.approx(accuracy.mean())
  assert summary['gain']['mean'] == pytest.approx(
    summary['distilled']['mean'] - summary['scratch']['mean']
  )


def test_the_summary_has_every_measure(distilled):
  result = distilled('kd').result
  summary = recipes.summarise(result, 1.0)
  assert summary['measure'] == {
    'name': 'accuracy',
    'unit': '%',
    'higher_is_better': True,
  }
  assert list(summary['measures']) == ['accuracy', 'loss']
  loss = summary['measures']['loss']
  assert (loss['unit'], loss['higher_is_better']) == ('nats', False)
  assert loss['teacher'] == result.teacher.measures['loss']
  values = {
    run: np.float64(getattr(result, run).measures['loss'])
    for run in ('scratch', 'distilled')
  }
  for run, of_seeds in values.items():
    assert loss[run]['loss'] == of_seeds.tolist()
    assert loss[run]['std'] == pytest.approx(of_seeds.std(ddof=1))
  assert loss['gain']['mean'] == pytest.approx(
    (values['distilled'] - values['scratch']).mean()
  )
  assert summary['measures']['accuracy']['gain'] == summary['gain']


def test_the_summary_without_scratch_has_no_gain(distilled):
  result = distilled('kd', stream=True, scratch=False).result
  assert result.scratch is None
  summary = recipes.summarise(result, 1.0)
  assert summary['scratch'] is None
  assert summary['gain'] is None
  for measure in summary['measures'].values():
    assert (measure['scratch'], measure['gain']) == (None, None)
