"""The table of networks, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]


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
    *('-m', 'experiments.models', '--names=vgg8,mlp_student,deit_tiny'),
    *('--image_size=20', '--channels=1', '--classes=100'),
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith('Networks for 20x20x1 images of 100 classes')
  rows = _rows(result.stdout)
  assert list(rows) == ['vgg8', 'mlp_student', 'deit_tiny']
  # RepDistiller's count, without two of three channels of the first kernel.
  assert rows['vgg8'][0] == str(3_965_028 - 2 * 9 * 64)
  products = 400 * 16 + 16 * 100
  parameters, megabytes, megaflops = rows['mlp_student']
  assert int(parameters) == products + 16 + 100
  assert float(megabytes) == pytest.approx(4e-6 * (products + 116), rel=0.01)
  assert float(megaflops) == pytest.approx(2e-6 * products, rel=0.05)
  # Its patches do not fit.
  assert rows['deit_tiny'] == ['-', '-', '-']
  words = ' '.join(result.stdout.split())
  assert 'deit_tiny: patch must divide the image, 20x20, got 16.' in words
  assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
  result = _run(tmp_path, '-m', 'experiments.models', '--names=vgg8,foo')
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1, result.stderr
  assert result.stderr.startswith('error: --names=foo: must be one of mlp_')
