"""Two processes of two devices each are one process of four."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_BUDGET = ('--epochs=3', '--teacher_epochs=2', '--seeds=2')
_LONG = ('--epochs=2000', '--teacher_epochs=2', '--seeds=1', '--noscratch')

pytestmark = pytest.mark.thorough


def _free_port():
  with socket.socket() as found:
    found.bind(('localhost', 0))
    return found.getsockname()[1]


def _start(workdir, *flags):
  return subprocess.Popen(
    [
      sys.executable,
      '-m',
      'experiments.distill',
      f'--workdir={workdir}',
      *flags,
    ],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': ''},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.fixture
def start_two():
  """Starts two processes, and leaves none behind."""
  started = []
  yield lambda *args: started.extend(_two(*args)) or started
  for process in started:
    process.kill()
    process.communicate()


def _two(workdir, *flags):
  port = _free_port()
  return [
    _start(
      workdir,
      '--devices=2',
      '--num_processes=2',
      f'--process_id={number}',
      f'--coordinator_address=localhost:{port}',
      *flags,
    )
    for number in range(2)
  ]


def _finish(processes, seconds=300):
  """Output of every process, once all have ended."""
  found = [process.communicate(timeout=seconds) for process in processes]
  codes = [process.returncode for process in processes]
  return codes, found


def _leaves(workdir, run):
  """All parameters of a saved model, read without kdjax."""
  (path, *_) = sorted((workdir / run).rglob('_METADATA'))
  return jax.tree.leaves(ocp.PyTreeCheckpointer().restore(path.parent))


def _wait_for_epoch(workdir, run, epoch, seconds=180):
  deadline = time.monotonic() + seconds
  while time.monotonic() < deadline:
    path = workdir / 'metrics.jsonl'
    text = path.read_text() if path.exists() else ''
    if f'"run": "{run}", "seed": 0, "epoch": {epoch},' in text:
      return
    time.sleep(0.05)
  raise TimeoutError(f'{run} did not reach epoch {epoch}')


@pytest.mark.parametrize(
  'flags',
  [
    ('--method=kd',),
    ('--method=rkd', '--stream'),
    ('--method=crd',),
    ('--method=kd', '--teacher_cache=device', '--stream'),
  ],
  ids=' '.join,
)
def test_two_processes_train_what_one_trains(start_two, tmp_path, flags):
  codes, output = _finish(start_two(tmp_path / 'two', *_BUDGET, *flags))
  assert codes == [0, 0], output
  one = _start(tmp_path / 'one', '--devices=4', *_BUDGET, *flags)
  codes, output = _finish([one])
  assert codes == [0], output
  for run in ('teacher', 'scratch', 'distilled'):
    both = (_leaves(tmp_path / name, run) for name in ('two', 'one'))
    for two, alone in zip(*both, strict=True):
      np.testing.assert_allclose(two, alone, rtol=0, atol=1e-6)
  summaries = [
    json.loads((tmp_path / name / 'summary.json').read_text())
    for name in ('two', 'one')
  ]
  assert summaries[0]['devices'] == summaries[1]['devices'] == 4
  texts = [
    (tmp_path / name / 'metrics.jsonl').read_text().splitlines()
    for name in ('two', 'one')
  ]
  # One process writes: no line comes twice.
  assert len(texts[0]) == len(texts[1]) == 2 + 2 * 3 * 2


def test_a_lost_process_ends_the_other_and_the_job_resumes(start_two, tmp_path):
  workdir = tmp_path / 'run'
  processes = start_two(workdir, *_LONG, '--checkpoint_every=1')
  _wait_for_epoch(workdir, 'distilled', 5)
  processes[1].send_signal(signal.SIGKILL)
  begun = time.monotonic()
  _, errors = processes[0].communicate(timeout=120)
  assert time.monotonic() - begun < 60
  assert processes[0].returncode != 0
  assert len(errors.splitlines()) == 1, errors
  line = errors.strip()
  assert line.startswith('error: another process of the job was lost')
  assert '--resume' in line
  processes[1].communicate()
  # The rest on one process and another number of devices.
  resumed = _start(workdir, *_LONG, '--checkpoint_every=1', '--resume')
  _wait_for_epoch(workdir, 'distilled', 12)
  resumed.send_signal(signal.SIGTERM)
  (code,), ((_, errors),) = _finish([resumed])
  assert code == 128 + signal.SIGTERM, errors
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  epochs = [
    x['epoch'] for x in map(json.loads, lines) if x['run'] == 'distilled'
  ]
  assert epochs == list(range(1, len(epochs) + 1))


def test_a_signal_to_one_process_stops_both_at_the_same_epoch(
  start_two, tmp_path
):
  workdir = tmp_path / 'run'
  processes = start_two(workdir, *_LONG)
  _wait_for_epoch(workdir, 'distilled', 3)
  processes[1].send_signal(signal.SIGTERM)
  codes, output = _finish(processes, 120)
  assert codes == [128 + signal.SIGTERM] * 2, output
  lines = [errors.splitlines()[-1] for _, errors in output]
  assert lines[0] == lines[1]
  assert 'stopped after epoch' in lines[0]
  epoch = int(lines[0].split('stopped after epoch ')[1].split()[0])
  saved = (workdir / 'checkpoints' / 'distilled').iterdir()
  assert max(int(p.name) for p in saved if p.name.isdigit()) == epoch


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (('--num_processes=2',), '--coordinator_address=None: is needed'),
    (
      ('--num_processes=2', '--coordinator_address=localhost:1'),
      '--process_id=None: is needed',
    ),
    (
      (
        '--num_processes=2',
        '--coordinator_address=localhost:1',
        '--process_id=2',
      ),
      '--process_id=2: must be below num_processes=2',
    ),
  ],
)
def test_missing_flags_are_named(tmp_path, flags, words):
  (code,), ((_, errors),) = _finish([_start(tmp_path / 'run', *flags)])
  assert code == 2
  assert words in errors
  assert len(errors.splitlines()) == 1
