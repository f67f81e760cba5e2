"""The table of networks, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
# A network that no image fits, as one of patches may be.
_PATCHED = """
from absl import app
from experiments import common, models as binary
def estimate(model, batch):
  raise ValueError('patch must divide the image, 30x30, got 16.')
binary.deploy.estimate = estimate
app.run(binary.main, flags_parser=common.parse)
"""


def _run(tmp_path, *arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=tmp_path,
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': str(_ROOT),
      'XLA_FLAGS': '',
    },
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


def _rows(output):
  lines = [line.replace(',', '').split() for line in output.splitlines()]
  return {cells[0]: cells[1:] for cells in lines if len(cells) == 4}


def test_networks_of_these_images(tmp_path):
  result = _run(
    tmp_path,
    *('-m', 'experiments.models', '--names=vgg8,mlp_student'),
    *('--image_size=16', '--channels=1', '--classes=100'),
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith('Networks for 16x16x1 images of 100 classes')
  rows = _rows(result.stdout)
  assert list(rows) == ['vgg8', 'mlp_student']
  # RepDistiller's count, without two of three channels of the first kernel.
  assert rows['vgg8'][0] == str(3_965_028 - 2 * 9 * 64)
  products = 256 * 16 + 16 * 100
  parameters, megabytes, megaflops = rows['mlp_student']
  assert int(parameters) == products + 16 + 100
  assert float(megabytes) == pytest.approx(4e-6 * (products + 116), rel=0.01)
  assert float(megaflops) == pytest.approx(2e-6 * products, rel=0.05)
  assert not list(tmp_path.iterdir())


def test_a_network_that_does_not_fit_has_dashes_and_a_reason(tmp_path):
  result = _run(tmp_path, '-c', _PATCHED, '--names=vit_student')
  assert result.returncode == 0, result.stderr
  assert _rows(result.stdout)['vit_student'] == ['-', '-', '-']
  words = ' '.join(result.stdout.split())
  assert 'vit_student: patch must divide the image, 30x30, got 16.' in words


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
  result = _run(tmp_path, '-m', 'experiments.models', '--names=vgg8,foo')
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1, result.stderr
  assert result.stderr.startswith('error: --names=foo: must be one of mlp_')
