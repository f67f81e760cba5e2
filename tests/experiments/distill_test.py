"""The binaries as a user runs them: processes, signals, files, exit codes."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# Small enough for a test, long enough to be killed in the middle.
BUDGET = (
  '--epochs=40',
  '--teacher_epochs=4',
  '--seeds=2',
  '--checkpoint_every=3',
)


def command(program: str, *flags: str) -> list[str]:
  return [sys.executable, '-m', f'experiments.{program}', *flags]


def environment() -> dict[str, str]:
  # One device, as a newcomer has it; the suite's own eight are not inherited.
  return {**os.environ, 'XLA_FLAGS': ''}


def run(program: str, *flags: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    command(program, *flags),
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


def wait_for_epoch(workdir: pathlib.Path, name: str, epoch: int) -> None:
  """Returns once the run has written a line of that epoch."""
  deadline = time.monotonic() + 120
  while time.monotonic() < deadline:
    path = workdir / 'metrics.jsonl'
    lines = path.read_text().splitlines() if path.exists() else []
    if any(
      f'"run": "{name}"' in x and f'"epoch": {epoch},' in x for x in lines
    ):
      return
    time.sleep(0.005)
  raise TimeoutError(f'{name} did not reach epoch {epoch}')


def model_bytes(workdir: pathlib.Path, name: str) -> dict[str, bytes]:
  """Every parameter of a saved model, read without kdjax."""
  import orbax.checkpoint as ocp

  (step,) = [p for p in (workdir / name).iterdir() if p.name.isdigit()]
  tree = ocp.StandardCheckpointer().restore(step / 'tree')
  import jax

  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path): x.tobytes() for path, x in leaves}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A run from end to end that nobody disturbed."""
  workdir = tmp_path_factory.mktemp('finished') / 'run'
  result = run('distill', *BUDGET, f'--workdir={workdir}')
  assert result.returncode == 0, result.stderr
  return workdir, result


def test_leaves_what_the_readme_says(finished):
  workdir, result = finished
  summary = json.loads((workdir / 'summary.json').read_text())
  assert list(summary) == [
    'dataset',
    'split',
    'method',
    'seeds',
    'devices',
    'seconds',
    'steps_per_second',
    'teacher',
    'student',
    'scratch',
    'distilled',
    'gain',
    'measure',
    'measures',
    'settings',
    'provenance',
  ]
  assert summary['provenance']['command'].startswith(
    'python -m experiments.distill --'
  )
  settings = json.loads((workdir / 'settings.json').read_text())
  assert settings == {'program': 'distill', **summary['settings']}
  assert settings['epochs'] == 40
  assert summary['measure'] == {
    'name': 'accuracy',
    'unit': '%',
    'higher_is_better': True,
  }
  assert list(summary['measures']) == ['accuracy', 'loss']
  assert summary['measures']['accuracy']['gain'] == summary['gain']
  assert summary['seeds'] == [0, 1]
  assert summary['student']['parameters'] == 64 * 16 + 16 + 16 * 10 + 10
  assert summary['student']['bytes'] == 4 * 1210
  for name in ('scratch', 'distilled'):
    assert len(summary[name]['accuracy']) == 2
  mean = summary['distilled']['mean'] - summary['scratch']['mean']
  assert summary['gain']['mean'] == pytest.approx(mean, abs=1e-12)
  low, high = summary['gain']['ci95']
  assert low <= mean <= high
  assert summary['measure']['name'] == 'accuracy'
  assert list(summary['measures']) == ['accuracy', 'loss']
  assert (workdir / 'curves.png').read_bytes().startswith(b'\x89PNG')
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) == 4 + 2 * 40 * 2
  assert all(word in result.stdout for word in ('teacher', 'scratch', '±'))
  assert 'Traceback' not in result.stderr


def test_accuracies_are_the_last_epochs(finished):
  workdir, _ = finished
  summary = json.loads((workdir / 'summary.json').read_text())
  lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
  last = [
    x['test_accuracy']
    for x in lines
    if x['run'] == 'distilled' and x['epoch'] == 40
  ]
  assert summary['distilled']['accuracy'] == pytest.approx(last, abs=1e-7)


def test_evaluate_agrees_with_the_summary(finished):
  workdir, _ = finished
  result = run('evaluate', f'--checkpoint={workdir / "distilled"}')
  assert result.returncode == 0, result.stderr
  found = [json.loads(line)['accuracy'] for line in result.stdout.splitlines()]
  summary = json.loads((workdir / 'summary.json').read_text())
  assert found == pytest.approx(summary['distilled']['accuracy'], abs=1e-7)


def test_killed_run_resumes_to_the_same_bytes(finished, tmp_path):
  undisturbed, _ = finished
  workdir = tmp_path / 'run'
  process = subprocess.Popen(
    command('distill', *BUDGET, f'--workdir={workdir}'),
    cwd=ROOT,
    env=environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  name = random.choice(['teacher', 'scratch', 'distilled'])
  epoch = random.randint(1, 3 if name == 'teacher' else 38)
  print('killed in', name, 'after epoch', epoch)  # shown when it fails
  wait_for_epoch(workdir, name, epoch)
  process.kill()  # SIGKILL: nothing is flushed, nothing is caught
  process.wait()
  result = run('distill', *BUDGET, f'--workdir={workdir}', '--resume')
  assert result.returncode == 0, result.stderr
  for network in ('teacher', 'scratch', 'distilled'):
    expected = model_bytes(undisturbed, network)
    assert model_bytes(workdir, network) == expected
    assert any(any(values) for values in expected.values())
  lines = [
    (workdir / 'metrics.jsonl').read_text(),
    (undisturbed / 'metrics.jsonl').read_text(),
  ]
  assert lines[0] == lines[1]


def test_sigterm_saves_and_says_how_to_go_on(tmp_path):
  workdir = tmp_path / 'run'
  flags = ('--teacher_epochs=2', '--epochs=100000', '--seeds=1')
  process = subprocess.Popen(
    command('distill', *flags, f'--workdir={workdir}'),
    cwd=ROOT,
    env=environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  wait_for_epoch(workdir, 'scratch', 5)
  process.send_signal(signal.SIGTERM)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 128 + signal.SIGTERM
  assert f'--resume --workdir={workdir}' in errors
  assert 'Traceback' not in errors
  assert list((workdir / 'checkpoints' / 'scratch').iterdir())


def test_train_teacher_then_reuse_it(tmp_path):
  teacher = tmp_path / 'teacher'
  result = run('train_teacher', '--teacher_epochs=3', f'--workdir={teacher}')
  assert result.returncode == 0, result.stderr
  accuracy = json.loads((teacher / 'summary.json').read_text())['teacher']
  student = tmp_path / 'student'
  flags = ('--epochs=2', '--seeds=1', f'--teacher_checkpoint={teacher}')
  result = run('distill', *flags, '--noscratch', f'--workdir={student}')
  assert result.returncode == 0, result.stderr
  summary = json.loads((student / 'summary.json').read_text())
  assert summary['teacher']['accuracy'] == pytest.approx(accuracy['accuracy'])
  assert summary['scratch'] is None
  assert summary['gain'] is None


def test_a_cpu_of_two_devices_gives_the_same_numbers(tmp_path):
  lines = {}
  for devices in (1, 2):
    workdir = tmp_path / str(devices)
    flags = (f'--devices={devices}', f'--workdir={workdir}', '--seeds=1')
    budget = ('--epochs=2', '--teacher_epochs=1', '--noscratch')
    result = run('distill', *flags, *budget)
    assert result.returncode == 0, result.stderr
    summary = json.loads((workdir / 'summary.json').read_text())
    assert summary['devices'] == devices
    text = (workdir / 'metrics.jsonl').read_text()
    lines[devices] = [json.loads(line) for line in text.splitlines()]
  for one, two in zip(lines[1], lines[2], strict=True):
    assert one.pop('run') == two.pop('run')
    assert two == pytest.approx(one, rel=1e-4)
