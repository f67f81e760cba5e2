"""Saved trees come back whole, bit for bit, or with one line that says why."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import kdjax
from kdjax import checkpoint, models, training, transforms

_ROOT = pathlib.Path(kdjax.__file__).parents[1]
_NOTE = {
  'model': 'tiny',
  'seeds': [3, 4],
  'accuracy': [0.5, 0.25],
  'none': None,
}


def _tree(value, size=4):
  return {
    'stage': {'kernel': jnp.full((size, 2), value, jnp.float32)},
    'count': jnp.asarray(value, jnp.int32),
  }


def _assert_equal(one, other):
  def check(x, y):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)

  jax.tree.map(check, one, other)
  assert jax.tree.structure(one) == jax.tree.structure(other)


def _students(features):
  model = models.from_linen(models.ConvNet(features, (1,), 3))
  teacher = {'stage1': jax.ShapeDtypeStruct((2, 4, 4, 5), jnp.float32)}
  return training.init_students(
    (3, 4),
    model,
    transforms.weighted_sum(
      labels=(1.0, transforms.labels()),
      hint=(
        1.0,
        transforms.hint(student='stage1', teacher='stage1', batch_norm=True),
      ),
    ),
    optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01)),
    {'image': jax.ShapeDtypeStruct((2, 4, 4, 1), jnp.float32)},
    teacher,
  )


@pytest.fixture(scope='module')
def state():
  """A train state whose every float is a number of its own."""
  random = np.random.default_rng(0)

  def draw(leaf):
    if leaf.dtype == jnp.float32:
      return jnp.asarray(random.normal(size=leaf.shape), jnp.float32)
    return leaf + 7

  return jax.tree.map(draw, _students((4,)))


def test_a_train_state_comes_back_bit_for_bit(state, tmp_path):
  checkpoint.save(tmp_path / 'a', 5, training.replicate(state), _NOTE)
  template = jax.eval_shape(lambda: state)
  restored = checkpoint.restore(tmp_path / 'a', template)
  _assert_equal(restored, state)
  assert isinstance(restored, training.TrainState)
  for leaf in jax.tree.leaves(restored):
    assert leaf.devices() == {jax.local_devices()[0]}


def test_another_architecture_is_named_by_its_parameter(state, tmp_path):
  checkpoint.save(tmp_path, 1, state, _NOTE)
  wider = jax.eval_shape(lambda: _students((6,)))
  with pytest.raises(checkpoint.CheckpointError) as caught:
    checkpoint.restore(tmp_path, wider)
  message = str(caught.value)
  assert '\n' not in message
  assert 'another architecture' in message
  assert 'kernel' in message or 'bias' in message or 'scale' in message
  assert '4' in message
  assert '6' in message


@pytest.mark.parametrize(
  ('template', 'named'),
  [
    ({'stage': {'kernel': jnp.zeros((5, 2))}}, 'count'),
    ({**_tree(0), 'stage': {'kernel': jnp.zeros((4, 3))}}, 'stage/kernel'),
    ({**_tree(0), 'more': jnp.zeros(1)}, 'more'),
  ],
)
def test_missing_and_misshapen_parameters_are_named(tmp_path, template, named):
  checkpoint.save(tmp_path, 1, _tree(1), _NOTE)
  with pytest.raises(checkpoint.CheckpointError, match=f': {named} has shape'):
    checkpoint.restore(tmp_path, template)


def test_the_last_steps_are_kept(tmp_path):
  for step in (1, 2, 5, 11):
    checkpoint.save(tmp_path, step, _tree(step), {'step': step}, keep=2)
  steps = {path.name for path in tmp_path.iterdir() if path.is_dir()}
  assert steps == {'5', '11'}
  assert checkpoint.latest_step(tmp_path) == 11
  assert checkpoint.read_note(tmp_path) == {'step': 11}
  _assert_equal(checkpoint.restore(tmp_path, _tree(0)), _tree(11))


def test_a_step_that_is_there_stays_as_it_is(tmp_path):
  checkpoint.save(tmp_path, 1, _tree(1), {'first': True})
  checkpoint.save(tmp_path, 1, _tree(2), {'first': False})
  assert checkpoint.read_note(tmp_path) == {'first': True}
  _assert_equal(checkpoint.restore(tmp_path, _tree(0)), _tree(1))


def test_notes_come_back(tmp_path):
  checkpoint.save(tmp_path / 'deep' / 'er', 0, _tree(1), _NOTE)
  assert checkpoint.read_note(tmp_path / 'deep' / 'er') == _NOTE
  assert checkpoint.latest_step(tmp_path / 'deep' / 'er') == 0


@pytest.mark.parametrize('exists', [False, True])
def test_no_checkpoint(tmp_path, exists):
  directory = tmp_path if exists else tmp_path / 'none'
  assert checkpoint.latest_step(directory) is None
  for read in (
    lambda: checkpoint.restore(directory, _tree(0)),
    lambda: checkpoint.read_note(directory),
  ):
    with pytest.raises(checkpoint.CheckpointError) as caught:
      read()
    assert str(directory) in str(caught.value)
    assert '\n' not in str(caught.value)
  assert directory.exists() == exists  # reading makes no directory


def _foreign_file(directory):
  (directory / '3').mkdir()
  (directory / '3' / 'weights.bin').write_bytes(b'not ours')


def _foreign_orbax(directory):
  import orbax.checkpoint as ocp

  with ocp.CheckpointManager(directory) as manager:
    manager.save(3, args=ocp.args.StandardSave({'w': jnp.zeros(3)}))


@pytest.mark.parametrize('make', [_foreign_file, _foreign_orbax])
@pytest.mark.parametrize(
  'read',
  [checkpoint.read_note, lambda path: checkpoint.restore(path, _tree(0))],
  ids=['note', 'tree'],
)
def test_a_foreign_checkpoint_is_one_line(tmp_path, make, read):
  make(tmp_path)
  with pytest.raises(checkpoint.CheckpointError) as caught:
    read(tmp_path)
  assert str(tmp_path) in str(caught.value)
  assert '\n' not in str(caught.value)


def test_orbaxs_unfinished_steps_are_not_read(tmp_path):
  checkpoint.save(tmp_path, 1, _tree(1), {'step': 1})
  checkpoint.save(tmp_path, 2, _tree(2), {'step': 2})
  (tmp_path / '2').rename(tmp_path / '2.orbax-checkpoint-tmp-17')
  assert checkpoint.latest_step(tmp_path) == 1
  assert checkpoint.read_note(tmp_path) == {'step': 1}
  _assert_equal(checkpoint.restore(tmp_path, _tree(0)), _tree(1))
  # The run that follows does the step again.
  checkpoint.save(tmp_path, 2, _tree(3), {'step': 2})
  _assert_equal(checkpoint.restore(tmp_path, _tree(0)), _tree(3))


_SAVER = """
import sys
import jax.numpy as jnp
from kdjax import checkpoint
for step in range(1, 100):
  part = jnp.full((1 << 18,), step, jnp.float32)
  tree = {f'part{i}': part for i in range(40)}
  checkpoint.save(sys.argv[1], step, tree, {'step': step})
  print(step, flush=True)
"""


def test_a_step_cut_short_by_a_kill_is_not_read(tmp_path):
  directory = tmp_path / 'killed'
  saver = subprocess.Popen(
    [sys.executable, '-c', _SAVER, str(directory)],
    stdout=subprocess.PIPE,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(_ROOT)},
  )
  try:
    done = [int(saver.stdout.readline()) for _ in range(2)][-1]
    # The third step is being written when its temporary name is there.
    while not list(directory.glob('3.*')) and not (directory / '3').exists():
      assert saver.poll() is None
      time.sleep(0.001)
    saver.send_signal(signal.SIGKILL)
    done = max([done, *(int(line) for line in saver.stdout if line.strip())])
  finally:
    saver.kill()
    saver.wait()
    saver.stdout.close()
  step = checkpoint.latest_step(directory)
  assert step in (done, done + 1)
  assert checkpoint.read_note(directory) == {'step': step}
  template = {
    f'part{i}': jax.ShapeDtypeStruct((1 << 18,), jnp.float32) for i in range(40)
  }
  for leaf in checkpoint.restore(directory, template).values():
    np.testing.assert_array_equal(leaf, np.float32(step))
  shutil.rmtree(directory)
