"""Every `--method` trains from the command line, and its loss falls."""

import concurrent.futures
import contextlib
import io
import json
import multiprocessing
import os
import sys
from unittest import mock

import compiling
import pytest

from kdjax import methods

# Maps of one position teach these nothing, or they read a batch norm; all
# others learn from a multilayer perceptron, which compiles faster.
_MAPS = ('at', 'nst', 'nst_linear', 'nst_gaussian', 'ft', 'ofd', 'cwd', 'fsp')
# Student and teacher: what compiles is what takes the time.
_NETWORKS = {
  'mlp': ('mlp_student', 'mlp_teacher'),
  'cnn': ('cnn_student', 'cnn_teacher'),
  'vit': ('vit_student', 'vit_student'),
  'distilled': ('vit_student_distilled', 'mlp_teacher'),
}
_TRANSFORMER = ('vitkd', 'minilm', 'minilmv2', 'attention_matrices')
_DISTILLED = ('deit', 'deit_soft')
_LEARNING = {
  'mlp': ('--learning_rate=0.01',),
  'cnn': ('--learning_rate=0.01',),
  'vit': ('--optimizer=adam', '--learning_rate=0.001'),
  'distilled': ('--optimizer=adam', '--learning_rate=0.001'),
}
# One device, as a newcomer has it. Compiling takes most of the time, and half
# of that is spent on making fast what runs for a second; convolutions alone
# are so slow without that that it pays.
_XLA_FLAGS = {
  'mlp': compiling.LITTLE_OPTIMISED,
  'cnn': '',
  'vit': compiling.LITTLE_OPTIMISED,
  'distilled': compiling.LITTLE_OPTIMISED,
}
# 0 for all.
_EXAMPLES = {'mlp': 0, 'cnn': 240, 'vit': 240, 'distilled': 240}
_TWO_EPOCHS = ('--epochs=2',)
_FLAGS = {
  # A stage of its own, then the labels: two epochs each.
  **dict.fromkeys(('fitnets', 'fsp', 'ab'), ('--epochs=4', '--hint_epochs=2')),
  # The first of these epochs trains the paraphraser.
  'ft': ('--epochs=4', '--transfer_examples=120'),
  # In the first epoch the memory is random; what comes after it is harder.
  'crd': ('--epochs=4', '--learning_rate=0.001'),
}
# Their targets move away from the student while it learns.
_HARDER = ('taid', 'ctkd')
# The epoch from which on the term itself is what falls.
_FROM = {'ft': 2, 'crd': 2}


def _kind(method: str) -> str:
  if method in _TRANSFORMER:
    return 'vit'
  if method in _DISTILLED:
    return 'distilled'
  return 'cnn' if method in _MAPS else 'mlp'


def _main(program: str, arguments: tuple[str, ...]) -> str:
  """Runs a binary in this process; returns what it said if it failed."""
  import importlib

  from absl import app, flags

  from experiments import common

  said = io.StringIO()
  sys.argv = [program, *arguments]
  module = importlib.import_module(f'experiments.{program}')
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    try:
      with common.errors():
        app.run(module.main, flags_parser=common.parse)
    except SystemExit as stop:
      return said.getvalue() if stop.code else ''
    finally:
      for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
  return ''


class _Processes:
  """One for each binary, as their flags have one name, and each XLA_FLAGS.

  It imports jax once and compiles what the methods share once.
  """

  def __init__(self, cache):
    self._environment = {
      'JAX_COMPILATION_CACHE_DIR': str(cache),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.05',
    }
    self._context = multiprocessing.get_context('spawn')
    self._pools = {}

  def run(self, kind, program, *arguments):
    environment = {**self._environment, 'XLA_FLAGS': _XLA_FLAGS[kind]}
    key = program, environment['XLA_FLAGS']
    if key not in self._pools:
      self._pools[key] = concurrent.futures.ProcessPoolExecutor(
        1, self._context
      )
    # The process starts with the first of what it is given.
    with mock.patch.dict(os.environ, environment):
      future = self._pools[key].submit(_main, program, arguments)
    assert not future.result(), arguments

  def close(self):
    for pool in self._pools.values():
      pool.shutdown()


@pytest.fixture(scope='module')
def processes(tmp_path_factory):
  cache = tmp_path_factory.getbasetemp().parent / 'every_method_cache'
  started = _Processes(cache)
  yield started
  started.close()


@pytest.fixture(scope='module')
def teacher(processes, tmp_path_factory):
  """Trains a kind of teacher for an epoch, once; returns its workdir."""
  trained = {}

  def train(kind):
    if kind not in trained:
      trained[kind] = tmp_path_factory.mktemp('teacher') / kind
      processes.run(
        kind,
        'train_teacher',
        f'--teacher={_NETWORKS[kind][1]}',
        '--teacher_epochs=1',
        f'--workdir={trained[kind]}',
        *_LEARNING[kind],
      )
    return trained[kind]

  return train


# Run by `pytest -m thorough`, as CI does.
@pytest.mark.thorough
@pytest.mark.parametrize('method', methods.NAMES)
def test_trains_and_its_loss_falls(method, processes, teacher, tmp_path):
  kind = _kind(method)
  processes.run(
    kind,
    'distill',
    f'--method={method}',
    f'--student={_NETWORKS[kind][0]}',
    f'--teacher={_NETWORKS[kind][1]}',
    f'--teacher_checkpoint={teacher(kind)}',
    f'--workdir={tmp_path / "run"}',
    f'--transfer_examples={_EXAMPLES[kind]}',
    '--schedule=constant',
    '--seeds=1',
    '--noscratch',
    *_LEARNING[kind],
    *_FLAGS.get(method, _TWO_EPOCHS),
  )
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  epochs = [json.loads(line) for line in lines]
  for run in {epoch['run'] for epoch in epochs}:
    values = [epoch for epoch in epochs if epoch['run'] == run]
    values = values[_FROM.get(method, 1) - 1 :]
    terms = set(values[0]) & {f'train_{name}' for name in _TERMS}
    if method in _HARDER:
      terms = {'test_loss'}
    # The method's own terms; in a stage of labels alone, the labels.
    for name in terms or {'train_labels'}:
      assert values[-1][name] < values[0][name], (run, name)


_TERMS = (
  *methods.NAMES,
  *('soft', 'hint', 'distance', 'angle', 'direction', 'skd_soft'),
  *('smoothed', 'scores', 'class_token'),
)
