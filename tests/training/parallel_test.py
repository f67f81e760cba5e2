"""On several CPU devices no loop has many unfinished runs of its program.

With more than 32, a process on few cores may wait for itself until XLA aborts
it: `parallel.spread` says why.
"""

import os
import subprocess
import sys

import epoch_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import cache, data, models, training

# Below 32: without a limit the tests fail, not hang.
_STEPS, _BATCH = 10, 2
_DEVICES = jax.local_devices()[:2]
_SOURCE = data.from_arrays(
  np.zeros((_STEPS * _BATCH, 2, 2, 1), np.uint8),
  np.zeros(_STEPS * _BATCH, np.int32),
)


@pytest.fixture
def unfinished(monkeypatch):
  """How many runs of any program were unfinished when another was begun."""
  mapped, wait = jax.pmap, jax.block_until_ready
  counts, results, waited_for = [], [], []

  def counting(*args, **kwargs):
    program = mapped(*args, **kwargs)

    def run(*inputs):
      counts.append(sum(not ended(result) for result in results))
      result = program(*inputs)
      results.append(jax.tree.leaves(result))
      return result

    run.lower = program.lower
    return run

  def waiting(tree):
    waited_for.extend(jax.tree.leaves(tree))
    return wait(tree)

  # An array may be said to be ready a little later than another of its run.
  def ended(leaves):
    if any(leaf is other for leaf in leaves for other in waited_for):
      return True
    return all(leaf.is_deleted() or leaf.is_ready() for leaf in leaves)

  monkeypatch.setattr(jax, 'pmap', counting)
  monkeypatch.setattr(jax, 'block_until_ready', waiting)
  return counts


def _slow_zero(images):
  """Takes far longer than the start of a program; zero per image."""
  square = jnp.full((256, 256), 1e-3) + images.astype(jnp.float32).sum()
  square = jax.lax.fori_loop(0, 40, lambda _, x: jnp.tanh(x @ x), square)
  return 0 * square[: len(images), 0]


def _step(states, teacher_variables, batch):
  del teacher_variables
  slow = jax.lax.pmean(_slow_zero(batch['image']).sum(), training.AXIS)
  return states + slow, {'loss': slow}


def _eval_step(variables, batch):
  del variables
  slow = jax.lax.psum(_slow_zero(batch['image']).sum(), training.AXIS)
  return {'correct': slow, 'loss': slow, 'examples': slow + 1}


def _epochs(kind, epochs, source, devices=_DEVICES):
  run = cases.EPOCHS[kind](
    _step,
    None,
    source,
    data.identity_view().augment,
    key=jax.random.key(0),
    batch_size=_BATCH,
    devices=devices,
  )
  states = training.replicate(jnp.zeros(()), devices)
  for epoch in range(epochs):
    states, _ = run(states, epoch)


def _evaluation():
  run = training.streaming_evaluation(
    _eval_step, _SOURCE, batch_size=_BATCH, devices=_DEVICES
  )
  run(training.replicate(jnp.zeros(()), _DEVICES))


def _cached_teacher():
  def apply(variables, batch, *, train=False, key=None):
    del variables, train, key
    return {'logits': _slow_zero(batch['image'])[:, None]}, {}

  teacher = training.CachedTeacher(
    models.Model(lambda key, batch: None, apply),
    models.ModelVariables({}, {}),
    data.identity_view(),
    {'logits': cache.DeviceStorage(len(_SOURCE), (1,), np.dtype(np.float32))},
    chunk=_BATCH,
    devices=_DEVICES,
  )
  places = np.arange(len(_SOURCE))
  teacher.outputs(
    places, np.zeros_like(places), lambda x: _SOURCE.fetch(places[x])
  )


@pytest.mark.parametrize(
  'loop',
  [
    lambda: _epochs('stepped', 1, _SOURCE),
    lambda: _epochs('streaming', 1, _SOURCE),
    lambda: _epochs('resident', _STEPS, _SOURCE.take(np.arange(_BATCH))),
    _evaluation,
    _cached_teacher,
  ],
  ids=['stepped', 'streaming', 'resident', 'evaluation', 'cached teacher'],
)
def test_a_run_begins_when_all_but_the_last_have_ended(unfinished, loop):
  loop()
  assert len(unfinished) == _STEPS
  assert max(unfinished) <= 1


_MANY_RUNS = """
import jax, jax.numpy as jnp, numpy as np
from kdjax.training import parallel

def step(state, shared, shard):
  mean = jax.lax.pmean(jnp.tanh(shard @ state), parallel.AXIS)
  return state + 1e-3 * mean, mean[0, 0]

program = parallel.spread(step, donate=True)
state = parallel.replicate(np.eye(256, dtype=np.float32))
shard = parallel.shard(np.ones((512, 256), np.float32))
for _ in range(500):
  state, _ = program(state, (), shard)
jax.block_until_ready(state)
"""


def test_many_runs_end_where_devices_have_few_threads():
  """As on two cores; begun without a limit they are aborted after a while."""
  ended = subprocess.run(
    [sys.executable, '-c', _MANY_RUNS],
    capture_output=True,
    text=True,
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'PJRT_NPROC': '2',
      'XLA_FLAGS': '--xla_force_host_platform_device_count=2 '
      '--xla_cpu_collective_call_terminate_timeout_seconds=20',
    },
  )
  assert ended.returncode == 0, ended.stderr[-2000:]


def test_one_device_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(jax, 'block_until_ready', pytest.fail)
  for kind in ('stepped', 'streaming'):
    _epochs(kind, 1, _SOURCE, _DEVICES[:1])
