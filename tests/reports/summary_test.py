"""The numbers of a distillation, and the sentence about them."""

import io
import json
import math

import numpy as np
import pytest
from rich import console

from kdjax import reports

_NETWORK = {
  'model': 'mlp_student',
  'parameters': 12345,
  'bytes': 49380,
  'flops_per_example': 2e6,
  'seconds_per_example': 3e-6,
}


def _summary(**changes):
  return {
    'dataset': 'digits',
    'method': 'kd,rkd',
    'seeds': [0, 1],
    'teacher': {**_NETWORK, 'model': 'mlp_teacher', 'accuracy': 0.9765},
    'student': _NETWORK,
    'scratch': {**_NETWORK, **reports.accuracies([0.90, 0.92])},
    'distilled': {**_NETWORK, **reports.accuracies([0.94, 0.96])},
    'gain': {'mean': 0.04, 'ci95': [0.03, 0.05]},
    **changes,
  }


def _printed(summary):
  output = console.Console(file=io.StringIO(), width=200)
  reports.print_summary(summary, output)
  return output.file.getvalue()


def test_accuracies_by_hand():
  found = reports.accuracies(np.float32([0.5, 0.75, 1.0]))
  assert found == {'accuracy': [0.5, 0.75, 1.0], 'mean': 0.75, 'std': 0.25}
  assert reports.accuracies([0.5]) == {
    'accuracy': [0.5],
    'mean': 0.5,
    'std': 0.0,
  }


def test_gain_by_hand():
  # Differences 0 and 0.5; the t quantile for one degree of freedom: 12.7062.
  found = reports.gain([0.5, 0.25], [0.5, 0.75])
  half = 12.7062 * 0.25
  assert found['mean'] == pytest.approx(0.25)
  assert found['ci95'] == pytest.approx([0.25 - half, 0.25 + half], rel=1e-5)
  assert reports.gain([0.5], [0.25]) == {'mean': -0.25, 'ci95': [None, None]}


def test_the_file_is_json_and_replaced_whole(tmp_path):
  reports.write_summary(tmp_path, {'long': 'x' * 1000})
  path = reports.write_summary(tmp_path, _summary())
  assert path == tmp_path / 'summary.json'
  assert json.loads(path.read_text()) == _summary()
  assert [found.name for found in tmp_path.iterdir()] == ['summary.json']


@pytest.mark.parametrize(
  ('mean', 'ci95', 'words'),
  [
    (0.04, (0.03, 0.05), ('helped', '+4.00', '+3.00 to +5.00')),
    (-0.04, (-0.05, -0.03), ('HURT', '-4.00', '-5.00 to -3.00')),
    (0.01, (-0.02, 0.04), ('No gain shown', '+1.00', '-2.00 to +4.00')),
    (-0.01, (-0.04, 0.02), ('No gain shown', '-1.00', '-4.00 to +2.00')),
    (0.0, (0.0, 0.0), ('No gain shown', '+0.00')),
    (0.02, (None, None), ('+2.00', 'one seed')),
  ],
)
def test_verdicts(mean, ci95, words):
  sentence = reports.verdict({'mean': mean, 'ci95': list(ci95)})
  assert '\n' not in sentence
  for word in words:
    assert word in sentence
  others = {'helped', 'HURT', 'No gain shown'} - set(words)
  assert not any(other in sentence for other in others)


def test_the_table_holds_the_numbers():
  text = _printed(_summary())
  std = 100 * math.sqrt(2 * 0.01**2)
  for expected in (
    'digits',
    'kd,rkd',
    '2 seed(s)',
    'mlp_teacher',
    '97.65',
    f'91.00 ± {std:.2f}',
    f'95.00 ± {std:.2f}',
    '12,345',
    'Distillation helped: +4.00 points',
  ):
    assert expected in text


def test_without_scratch_there_is_no_verdict():
  text = _printed(_summary(scratch=None, gain=None))
  assert 'distilled' in text
  assert 'scratch' not in text
  assert 'points' not in text


def test_what_a_cache_saved_is_said():
  used = {'computed': 1070, 'served': 5120}
  said = 'Of 5,120 views the teacher looked at 1,070; the others were kept.'
  assert said in _printed(_summary(teacher_cache=used))
  assert 'looked at' not in _printed(_summary())
