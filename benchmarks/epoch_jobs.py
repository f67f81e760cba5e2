"""Epochs as the recipes run them, of synthetic images."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import one_program
from kdjax import data, models, tasks, training, transforms

BATCH, CLASSES = 64, 10
MEAN, STD = 128.0, 64.0  # of a pixel
_OPTIMIZER = training.make_optimizer('sgd', 0.05, weight_decay=5e-4)


class Job(NamedTuple):
  """A pair of networks with something to learn.

  Attributes:
    pair: Its name, see `one_program`.
    teacher: The teacher.
    variables: Its variables.
    student: The student.
    loss: What it minimises; reads the teacher's logits.
    states: Of the students, stacked; on the host.
    source: The examples.
  """

  pair: str
  teacher: models.Model
  variables: Any
  student: models.Model
  loss: transforms.LossTransform
  states: training.TrainState
  source: data.Source


def job(
  pair: str, loss: transforms.LossTransform, examples: int, seeds: int = 1
) -> Job:
  """The networks with random images, `examples` of them."""
  *names, shape = one_program.NETWORKS[pair]
  statistics = [(x,) * shape[-1] for x in (MEAN, STD)]
  teacher, student = (
    models.normalised(models.create(name, classes=CLASSES), *statistics)
    for name in names
  )
  rng = np.random.default_rng(0)
  source = data.from_arrays(
    rng.integers(0, 256, (examples, *shape)).astype(np.uint8),
    rng.integers(0, CLASSES, examples),
  )
  batch = {'image': jax.ShapeDtypeStruct((BATCH, *shape), jnp.uint8)}
  zeros = {'image': jnp.zeros((BATCH, *shape), jnp.uint8)}
  variables = jax.jit(teacher.init)(jax.random.key(0), zeros)
  outputs, _ = jax.eval_shape(teacher.apply, variables, batch)
  states = training.init_students(
    range(seeds), student, loss, _OPTIMIZER, batch, outputs
  )
  states = jax.device_get(states)
  return Job(pair, teacher, variables, student, loss, states, source)


def epoch(
  job: Job,
  *,
  cached: training.CachedTeacher | None = None,
  devices: Sequence[jax.Device] | None = None,
) -> Callable[[], None]:
  """Runs an epoch from the initial states.

  As the recipes do on CPU: residual networks loop over steps on the host, for
  others the teacher answers two batches in a pass; several students are
  vmapped if they are perceptrons, else unrolled.

  Args:
    job: The networks and examples.
    cached: In place of a live teacher.
    devices: All local devices by default.
  """
  make: Any = training.resident_epoch
  if job.pair == 'resnet':
    make = training.stepped_epoch
  elif cached is None:
    ahead = training.Ahead(job.teacher, ('logits',), batches=2)
    make = functools.partial(training.resident_epoch, ahead=ahead)
  live = cached is None and job.pair == 'resnet'
  perceptron = job.pair == 'mlp'
  step = training.make_train_step(
    job.student,
    job.loss,
    _OPTIMIZER,
    teacher=job.teacher if live else None,
    axis_name=training.AXIS,
    over_students=training.vmapped if perceptron else training.unrolled,
    measures={'accuracy': tasks.correct},
  )
  run = make(
    step,
    None if cached else job.variables,
    job.source,
    data.identity_view().augment,
    key=jax.random.key(0),
    batch_size=BATCH,
    devices=devices,
    cached=cached,
  )
  states = training.replicate(job.states, devices)
  return lambda: jax.block_until_ready(run(jax.tree.map(jnp.copy, states), 0))
