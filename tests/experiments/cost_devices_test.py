"""A report on devices that are not there."""

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
# The devices are made before the flags are read, as under a profiler.
_PROGRAM = """
import jax
jax.devices()
from absl import app
from experiments import common, cost
with common.errors():
  app.run(cost.main, flags_parser=common.parse)
"""


def test_devices_that_are_not_there(tmp_path):
  result = subprocess.run(
    [sys.executable, '-c', _PROGRAM, '--devices=9'],
    cwd=tmp_path,
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': str(_ROOT),
      'TFDS_DATA_DIR': str(tmp_path / 'tfds'),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    },
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert result.returncode == 2
  assert result.stderr.splitlines() == [
    'error: --devices=9: must be within 1 and 8, the local cpu devices'
  ]
  assert not list(tmp_path.iterdir())
