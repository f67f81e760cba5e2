"""The benchmark for GPUs, on a CPU: that it runs, counts and reports."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gpu_parts import cases, timing
from benchmarks.gpu_parts.report import Job, Report, Work

_ROOT = pathlib.Path(__file__).parents[1]
# What a machine with jax, flax and optax need not have.
_ABSENT = ('tensorflow_datasets', 'orbax', 'matplotlib', 'sklearn', 'torch')
_WORK = Work(flops=3e9, limit='float32 product', bytes=2e9)
_LIMITS = {'float32 product': 6e12, 'copy': 1e12}


def _run(tmp_path, *arguments):
  code = (
    f'import runpy, sys; sys.modules.update(dict.fromkeys({_ABSENT}));'
    "runpy.run_module('benchmarks.gpu', run_name='__main__', alter_sys=True)"
  )
  output = f'--output={tmp_path / "found"}'
  done = subprocess.run(
    [sys.executable, '-c', code, '--smoke', output, *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    # The suite's flags compile faster, to steps that take a minute.
    env={**os.environ, 'XLA_FLAGS': ''},
  )
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'found.json').read_text(encoding='utf-8'))
  for line in (tmp_path / 'found.md').read_text(encoding='utf-8').splitlines():
    assert line in done.stdout
  return found['rows']


def test_it_runs_on_a_bare_machine(tmp_path):
  rows = _run(
    tmp_path,
    '--precisions=float32',
    '--seeds=1',
    '--sizes=16',
    '--torch=eager',
  )
  theirs = [row for row in rows if row['form'] == 'PyTorch eager']
  ours = [row for row in rows if row['form'] != 'PyTorch eager']
  assert len(theirs) == 3
  assert all('cannot be imported' in row['note'] for row in theirs)
  assert not any('milliseconds' in row for row in theirs)
  assert [(row['job'].split()[0], row['form']) for row in ours] == [
    ('angle', 'kdjax'),
    ('vocabulary', 'kdjax, chunks of 8'),
    ('vocabulary', 'kdjax, whole logits'),
    ('ResNet-8', 'kdjax'),
    ('ResNet-8', 'kdjax, teacher 2 batches'),
  ]
  assert not any(row['note'] for row in ours)
  assert all(row['milliseconds'] > 0 < row['of_limit'] for row in ours)


def test_no_job_is_begun_when_the_time_is_up(tmp_path):
  rows = _run(tmp_path, '--minutes=0', '--parts=angle,resnet', '--torch=')
  assert {row['note'] for row in rows} == {'not begun: the time was up'}


def test_work_of_a_residual_network():
  # By hand: stem, then 6, 1 + 5 and 1 + 5 convolutions, then the classifier.
  products = 27 * 16 * 32**2 + 6 * 9 * 16 * 16 * 32**2
  products += 9 * 16 * 32 * 16**2 + 5 * 9 * 32 * 32 * 16**2
  products += 9 * 32 * 64 * 8**2 + 5 * 9 * 64 * 64 * 8**2 + 64 * 10
  assert products == 40_551_040
  assert cases.flops(20) == 2 * products
  assert cases.activations(20) == 7 * 2**14 + 6 * 2**13 + 6 * 2**12
  job = cases.Case((56, 20), 64, 5, 'bfloat16').job()
  assert job.work.flops == 64 * (cases.flops(56) + 15 * cases.flops(20))
  assert job.work.limit == 'bfloat16 product'


def test_a_row_is_what_was_measured(tmp_path, capsys):
  report = Report('somewhere', _LIMITS, str(tmp_path / 'found'))
  job = Job('job', _WORK, batch=64, seeds=5)
  report.add(job, 'PyTorch eager', timing.Timing(0.02, 1.0, None, 3))
  report.add(job, 'kdjax', timing.Timing(0.004, 2.0, 10**9, 3))
  report.add(job, 'other', timing.Timing(note='too | large'))
  row = report.rows[1]
  np.testing.assert_allclose(
    [row[x] for x in ('ratio', 'images', 'student_images', 'of_limit')],
    [5, 16000, 80000, 0.125],
  )
  np.testing.assert_allclose(row['of_copy'], 0.5)
  lines = capsys.readouterr().out.splitlines()
  assert lines[-1] == '| job | other |' + '  |' * 9 + ' too / large |'


def test_a_form_that_fails_stops_no_other():
  def fails():
    raise MemoryError('too large\nfor this')

  found = timing.take_turns(
    {'bad': fails, 'good': lambda: timing.Form(lambda: None, steps=2)}, 0.0
  )
  assert found['bad'] == timing.Timing(note='MemoryError: too large')
  assert found['good'].seconds > 0
  assert found['good'].runs == 3
  assert not found['good'].note


def test_what_takes_too_long_to_set_up_is_given_up():
  def forever():
    while True:
      pass

  found = timing.take_turns({'slow': forever}, 0.0, limits={'slow': 0.05})
  assert found['slow'].note == 'TimeoutError: not set up within 0.05 s'


def test_pytorch_augments_as_kdjax_does():
  torch = pytest.importorskip('torch', reason='PyTorch is absent.')
  from benchmarks.pytorch import distillation

  image = torch.arange(32 * 32).reshape(1, 32, 32, 1) % 251 + 1
  padded = torch.nn.functional.pad(image.to(torch.uint8), [0, 0] + 4 * [4])
  windows = {
    (padded[0, i : i + 32, j : j + 32, 0].flip([1][:flip])).numpy().tobytes()
    for i in range(9)
    for j in range(9)
    for flip in (0, 1)
  }
  zero, one = torch.zeros(1), torch.ones(1)
  index = torch.zeros(64, dtype=torch.long)
  found = distillation.augmented(padded, index, zero, one)
  assert found.shape == (64, 1, 32, 32)
  seen = {x[0].to(torch.uint8).numpy().tobytes() for x in found}
  assert seen <= windows
  assert len(seen) > 32
