"""Runs that exist, compared as a user does."""

import json
import os
import pathlib
import subprocess
import sys

from kdjax import reports

_ROOT = pathlib.Path(__file__).parents[2]
_ACCURACY = {'name': 'accuracy', 'unit': '%', 'higher_is_better': True}


def _compare(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'experiments.compare', *map(str, arguments)],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': '', 'COLUMNS': '80'},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


def _write(workdir, values, **settings):
  """A workdir of distill, as far as a comparison reads it."""
  workdir.mkdir(parents=True)
  spread = reports.spread('accuracy', values)
  found = {
    'distilled': spread,
    'gain': {'mean': 0.1, 'ci95': [0.05, 0.15]},
    **_ACCURACY,
  }
  summary = {
    'dataset': 'digits',
    'method': 'kd',
    'seeds': [0, 1, 2],
    'teacher': {'model': 'mlp_teacher'},
    'student': {'model': 'mlp_student'},
    'distilled': {'model': 'mlp_student', 'parameters': 1210, **spread},
    'measure': _ACCURACY,
    'measures': {'accuracy': found},
    'settings': {'student': None, 'measures': 'accuracy', **settings},
  }
  reports.write_summary(workdir, summary)


def test_runs_that_exist(tmp_path):
  _write(tmp_path / 'runs/a', [0.50, 0.60, 0.70], temperature=2.0)
  _write(
    tmp_path / 'runs/deep/b', [0.61, 0.70, 0.81], temperature=4.5, student='x'
  )
  # An older run, whose settings are in their own file.
  _write(tmp_path / 'runs/c', [0.51, 0.57, 0.72])
  summary = json.loads((tmp_path / 'runs/c/summary.json').read_text())
  del summary['settings']
  reports.write_summary(tmp_path / 'runs/c', summary)
  settings = {'program': 'distill', 'temperature': 10.0}
  (tmp_path / 'runs/c/settings.json').write_text(json.dumps(settings))
  # Two that stopped or failed, and one of a teacher alone.
  for name in ('stopped', 'failed', 'teacher'):
    (tmp_path / 'runs' / name).mkdir()
    (tmp_path / 'runs' / name / 'settings.json').write_text('{}')
  reports.write_failure(tmp_path / 'runs/failed', 'out of memory')
  reports.write_summary(
    tmp_path / 'runs/teacher', {'dataset': 'digits', 'teacher': {'model': 'x'}}
  )
  result = _compare(tmp_path / 'runs', f'--out={tmp_path / "out"}')
  assert result.returncode == 0, result.stderr
  lines = result.stdout.splitlines()
  for line in (
    'Skipped failed: it failed: out of memory',
    'Skipped stopped: it has no summary.json',
    'Skipped teacher: its summary has no distilled student',
    # Differences 0.11, 0.10, 0.11: mean 0.10667, deviation 0.0057735, and the
    # t quantile for two degrees of freedom 4.30265.
    'deep/b is better than a: +10.67 points (95 % interval +9.23 to +12.10).',
  ):
    assert line in lines
  assert any(x.startswith('No difference shown of c and a: +0') for x in lines)
  table = json.loads((tmp_path / 'out/table.json').read_text())
  assert table['axes'] == {'temperature': ['2', '4.5', '10']}
  assert table['best'] == 'deep/b'
  assert (tmp_path / 'out/table.png').exists()


def test_bad_requests_are_one_line(tmp_path):
  for name, temperature in (('a', 2.0), ('b', 4.0)):
    _write(tmp_path / name, [0.5, 0.6, 0.7], temperature=temperature)
  for arguments, words in (
    ([tmp_path / 'nowhere'], 'is no directory'),
    ([tmp_path, '--measure=ece'], '--measure=ece: must be one of accuracy'),
    ([tmp_path, '--axes=rows:alpha'], '--axes=rows:alpha: alpha is no axis'),
  ):
    result = _compare(*arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert words in line
