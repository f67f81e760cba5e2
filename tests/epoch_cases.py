"""A small data set, what the steps of its epochs are given, and two epochs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import data, models, tasks, training, transforms

EXAMPLES, BATCH, CLASSES = 44, 16, 3  # the third batch is 12 and padding
_RANDOM = np.random.default_rng(0)
PIXELS = _RANDOM.integers(0, 200, (EXAMPLES, 4, 4, 1)).astype(np.uint8)
LABELS = _RANDOM.integers(0, CLASSES, EXAMPLES).astype(np.int32)
KEY = 9
EPOCHS = {
  'resident': training.resident_epoch,
  'stepped': training.stepped_epoch,
  'streaming': training.streaming_epoch,
}


def source():
  return data.from_arrays(PIXELS, LABELS)


def prepare(keys, batch):
  batch = data.flip_views().augment(keys, batch)
  return {**batch, 'image': (batch['image'].astype(jnp.float32) - 100) / 60}


def record(kind, count, epoch):
  """What the steps of an epoch are given, by a step that only looks."""

  def look(states, teacher_variables, batch):
    del teacher_variables
    gathered = jax.tree.map(
      lambda x: jax.lax.all_gather(x, training.AXIS, tiled=True), dict(batch)
    )
    return states, gathered

  devices = jax.local_devices()[:count]
  run = EPOCHS[kind](
    look,
    None,
    source(),
    prepare,
    key=jax.random.key(KEY),
    batch_size=BATCH,
    devices=devices,
  )
  states = training.replicate({'x': jnp.zeros(3)}, devices)
  _, batches = run(states, epoch)
  return jax.device_get(batches)


SEEDS = (0, 1)
_SHAPE = {'image': jax.ShapeDtypeStruct((BATCH, 4, 4, 1), jnp.float32)}


_LOSS = transforms.weighted_sum(
  labels=(0.1, transforms.labels()),
  soft=(0.9, transforms.soft_targets(temperature=4.0)),
  distance=(25.0, transforms.relational_distance()),
  angle=(50.0, transforms.relational_angle()),
)


class Setup:
  """Two students and a teacher."""

  def __init__(self):
    self.calls = []
    self.student = models.from_linen(models.MLP((8,), CLASSES))
    self.teacher = models.from_linen(models.MLP((12,), CLASSES))
    self.variables = jax.jit(self.teacher.init)(
      jax.random.key(1), {'image': jnp.zeros((BATCH, 4, 4, 1))}
    )
    self.optimizer = training.make_optimizer('sgd', 0.05, weight_decay=1e-3)
    outputs, _ = jax.eval_shape(self.teacher.apply, self.variables, _SHAPE)
    self.states = jax.device_get(
      training.init_students(
        SEEDS, self.student, _LOSS, self.optimizer, _SHAPE, outputs
      )
    )

  def step(self, axis_name=training.AXIS, *, live=True):
    def counted(*args, **kwargs):
      self.calls.append(args)
      return self.student.apply(*args, **kwargs)

    return training.make_train_step(
      self.student._replace(apply=counted),
      _LOSS,
      self.optimizer,
      teacher=self.teacher if live else None,
      axis_name=axis_name,
      over_students=training.vmapped,
      measures={'accuracy': tasks.correct},
    )


class Result(NamedTuple):
  """Two epochs, and what became of the states between them."""

  run: Callable
  states: Any
  metrics: list
  traces: int
  deleted: list[bool]
  shardings: list


def two_epochs(setup, kind, count, *, ahead=None):
  devices = jax.local_devices()[:count]
  run = EPOCHS[kind](
    setup.step(live=ahead is None),
    setup.variables,
    source(),
    prepare,
    key=jax.random.key(KEY),
    batch_size=BATCH,
    devices=devices,
    **({'ahead': ahead} if ahead else {}),
  )
  states = training.replicate(setup.states, devices)
  metrics, deleted, shardings = [], [], []
  setup.calls.clear()
  for epoch in range(2):
    before = states
    states, epoch_metrics = run(states, epoch)
    metrics.append(jax.device_get(epoch_metrics))
    deleted += [leaf.is_deleted() for leaf in jax.tree.leaves(before)]
    shardings += [leaf.sharding for leaf in jax.tree.leaves(states)]
  states = jax.device_get(states)
  return Result(run, states, metrics, len(setup.calls), deleted, shardings)


def assert_close(one, other, tolerance=1e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, tolerance, tolerance),
    one,
    other,
  )
