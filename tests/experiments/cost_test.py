"""The cost report as a user runs it: a table, and nothing left behind."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
  """Runs the binary in an empty folder, with one device."""

  def run(*flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
      [sys.executable, '-m', 'experiments.cost', *flags],
      cwd=tmp_path,
      env={
        **os.environ,
        'JAX_PLATFORMS': 'cpu',
        'PYTHONPATH': str(ROOT),
        'TFDS_DATA_DIR': str(tmp_path / 'tfds'),
        'XLA_FLAGS': '',
      },
      capture_output=True,
      text=True,
      timeout=300,
      check=False,
    )

  return run


def _rows(output: str, count: int = 4) -> dict[str, list[float]]:
  """The last cells of each row of the table, by its name."""
  rows = {}
  for line in output.splitlines():
    cells = line.replace(',', '').split()
    try:
      numbers = [float(cell) for cell in cells[-count:]]
    except ValueError:  # the title, the header, the notes
      continue
    if len(cells) > count:
      rows[' '.join(cells[:-count])] = numbers
  return rows


def test_prints_the_table(run, tmp_path):
  result = run('--method=kd', '--seeds=2')
  assert result.returncode == 0, result.stderr
  rows = _rows(result.stdout)
  assert list(rows) == ['teacher', 'student', 'loss', 'one program']
  gigaflops = {name: numbers[0] for name, numbers in rows.items()}
  by_hand = 2 * 64 * (64 * 512 + 512 * 512 + 512 * 10) / 1e9
  assert gigaflops['teacher'] == pytest.approx(by_hand, rel=0.05)
  assert gigaflops['one program'] > gigaflops['teacher']
  megabytes = {name: numbers[3] for name, numbers in rows.items()}
  assert megabytes['teacher'] == pytest.approx(4 * 301_066 / 1e6, rel=0.01)
  assert 'on 1 device(s), 2 seed(s)' in ' '.join(result.stdout.split())
  assert 'of teacher + 2 x (student + loss)' in result.stdout
  # At most the digits, where no other folder had them.
  assert {path.name for path in tmp_path.iterdir()} <= {'tfds'}


def test_stages_and_more_devices_than_there_are(run):
  result = run('--method=fitnets', '--seeds=1', '--devices=4')
  assert result.returncode == 0, result.stderr
  assert list(_rows(result.stdout)) == [
    'teacher',
    'student',
    'loss hint',
    'one program hint',
    'loss distilled',
    'one program distilled',
  ]
  assert 'on 4 device(s)' in ' '.join(result.stdout.split())


@pytest.mark.parametrize(
  ('flag', 'words'),
  [
    ('--devices=0', ['--devices=0', 'positive']),
    ('--devices=3', ['--batch_size=64:', 'multiple of the 3 devices']),
    ('--method=foo', ['--method=foo:', 'rkd']),
  ],
)
def test_bad_input_is_one_line_and_exit_code_2(flag, words, run, tmp_path):
  result = run(flag)
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1, result.stderr
  assert all(word in result.stderr for word in words)
  assert not list(tmp_path.iterdir())
