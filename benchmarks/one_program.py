"""What a distillation step costs beside its parts, for one seed and several.

python -m benchmarks.one_program

`T` is the teacher's forward pass, `S` the student's own training step from
labels, each a program of its own; `T + S in one` is the distillation step by
soft targets. Several seeds share one teacher pass, vmapped or unrolled.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import side_by_side
from kdjax import models, tasks, training, transforms

_REPEATS = flags.DEFINE_integer('repeats', 5, 'Runs of each.', lower_bound=1)
_BATCH = flags.DEFINE_integer('batch', 64, 'Examples.', lower_bound=1)
_SEEDS = flags.DEFINE_integer('seeds', 5, 'Students.', lower_bound=1)
_PAIRS = flags.DEFINE_list('pairs', 'mlp,vit,resnet', 'Of mlp, vit, resnet.')

NETWORKS = {
  'mlp': ('mlp_teacher', 'mlp_student', (8, 8, 1)),
  'vit': ('vit_teacher', 'vit_student', (8, 8, 1)),
  'resnet': ('resnet20', 'resnet8', (32, 32, 3)),
}
_CLASSES = 10

Program = tuple[Callable, tuple[Any, ...]]


def programs(pair: str, batch_size: int, seeds: int) -> dict[str, Program]:
  """The functions to time, with their arguments."""
  teacher_name, student_name, shape = NETWORKS[pair]
  teacher, student = (
    models.create(name, classes=_CLASSES)
    for name in (teacher_name, student_name)
  )
  examples = batch(batch_size, shape)
  variables = jax.jit(teacher.init)(jax.random.key(0), examples)
  outputs = jax.eval_shape(teacher.apply, variables, examples)[0]
  optimizer = training.make_optimizer('sgd', 0.05, weight_decay=5e-4)
  labels = transforms.weighted_sum(labels=(1.0, transforms.labels()))
  distil = transforms.weighted_sum(
    labels=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets(temperature=4.0)),
  )
  states = training.init_students(
    range(seeds), student, distil, optimizer, examples, outputs
  )
  one_state = jax.tree.map(lambda x: x[0], states)

  def train(loss, **kwargs):
    measures = {'accuracy': tasks.correct}
    return training.make_train_step(
      student, loss, optimizer, measures=measures, **kwargs
    )

  def forward(variables, batch):
    return teacher.apply(variables, batch)[0]['logits']

  several = {
    name: train(distil, teacher=teacher, over_students=over)
    for name, over in (
      ('vmapped', training.vmapped),
      ('unrolled', training.unrolled),
    )
  }
  return {
    'T': (forward, (variables, examples)),
    'S': (train(labels), (one_state, None, examples)),
    'one': (train(distil, teacher=teacher), (one_state, variables, examples)),
    **{name: (f, (states, variables, examples)) for name, f in several.items()},
  }


def batch(size: int, shape: tuple[int, ...]) -> dict[str, jax.Array]:
  """Random images and labels."""
  rng = np.random.default_rng(0)
  return {
    'image': jnp.asarray(rng.normal(size=(size, *shape)), jnp.float32),
    'label': jnp.asarray(rng.integers(0, _CLASSES, size), jnp.int32),
    'index': jnp.arange(size),
    'weight': jnp.ones(size),
  }


def _run(compiled, args):
  return jax.block_until_ready(compiled(*args))


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  seeds = _SEEDS.value
  print(side_by_side.environment())
  print(f'batch {_BATCH.value}, milliseconds')
  rows = []
  for pair in _PAIRS.value:
    timed = {
      name: functools.partial(_run, jax.jit(f).lower(*args).compile(), args)
      for name, (f, args) in programs(pair, _BATCH.value, seeds).items()
    }
    found = side_by_side.medians(timed, _REPEATS.value)
    parts, all_parts = found['T'] + found['S'], found['T'] + seeds * found['S']
    rows.append(
      [
        ' to '.join(NETWORKS[pair][:2]),
        *(f'{1e3 * found[name]:.2f}' for name in ('T', 'S', 'one')),
        f'{found["one"] / parts:.2f}',
        *(
          f'{1e3 * found[name]:.2f} ({found[name] / all_parts:.2f})'
          for name in ('vmapped', 'unrolled')
        ),
      ]
    )
  header = ['pair', 'T', 'S', 'T + S in one', 'of T + S']
  header += [
    f'{seeds} seeds {name} (of T + {seeds} S)'
    for name in ('vmapped', 'unrolled')
  ]
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
