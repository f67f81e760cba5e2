"""An epoch with a live teacher, and with a cache that is empty or full.

python -m benchmarks.teacher_cache

One view of each example, so that the first epoch computes all that there is.
The epochs are those that recipes run: convolutional networks on CPU loop over
steps on the host.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import one_program, side_by_side
from kdjax import cache, data, models, training, transforms

_REPEATS = flags.DEFINE_integer('rounds', 5, 'Epochs of each.', lower_bound=1)
_PAIRS = flags.DEFINE_list('networks', 'mlp,vit,resnet', 'Of mlp, vit, resnet.')
_EXAMPLES, _BATCH, _CLASSES = 256, 64, 10
_OPTIMIZER = training.make_optimizer('sgd', 0.05, weight_decay=5e-4)
_LOSS = transforms.soft_targets(temperature=4.0)


class _Forgetful(cache.DeviceStorage):
  """Has to be told everything every time."""

  def has(self, rows: np.ndarray) -> np.ndarray:
    """Nothing."""
    return np.zeros(len(rows), bool)


class Job(NamedTuple):
  """A pair of networks with something to learn."""

  teacher: models.Model
  variables: Any
  student: models.Model
  states: training.TrainState
  source: data.Source
  normalise: Callable


def job(pair: str) -> Job:
  """The networks with synthetic images."""
  *names, shape = one_program.NETWORKS[pair]
  teacher, student = (models.create(name, classes=_CLASSES) for name in names)
  rng = np.random.default_rng(0)
  source = data.from_arrays(
    rng.integers(0, 256, (_EXAMPLES, *shape)).astype(np.uint8),
    rng.integers(0, _CLASSES, _EXAMPLES),
  )
  image = jax.ShapeDtypeStruct((_BATCH, *shape), jnp.float32)
  variables = jax.jit(teacher.init)(jax.random.key(0), jnp.zeros(image.shape))
  outputs, _ = jax.eval_shape(teacher.apply, variables, image)
  states = training.init_state(0, student, _LOSS, _OPTIMIZER, image, outputs)
  middle, spread = (128.0,) * shape[-1], (64.0,) * shape[-1]
  normalise = functools.partial(data.normalise, mean=middle, std=spread)
  states = training.replicate(states)
  return Job(teacher, variables, student, states, source, normalise)


def epoch(pair: str, storage: Callable | None) -> Callable[[], None]:
  """An epoch, with a live teacher or a cache."""
  teacher, variables, student, states, source, normalise = job(pair)
  cached = None
  if storage is not None:
    rows = storage(_EXAMPLES, (_CLASSES,), np.dtype(np.float32))
    cached = training.CachedTeacher(
      teacher,
      variables,
      data.identity_view(),
      normalise,
      {'logits': rows},
      chunk=_EXAMPLES,
    )
  step = training.make_train_step(
    student,
    _LOSS,
    _OPTIMIZER,
    teacher=None if cached else teacher,
    axis_name=training.AXIS,
  )
  make = training.stepped_epoch if pair == 'resnet' else training.resident_epoch
  run = make(
    step,
    None if cached else variables,
    source,
    lambda _, images: normalise(images),
    key=jax.random.key(0),
    batch_size=_BATCH,
    cached=cached,
  )
  return lambda: jax.block_until_ready(run(jax.tree.map(jnp.copy, states), 0))


_EPOCHS = {'live': None, 'empty': _Forgetful, 'full': cache.DeviceStorage}


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  print(side_by_side.environment())
  print(f'{_EXAMPLES} examples, batch {_BATCH}, milliseconds an epoch')
  rows = []
  for pair in _PAIRS.value:
    timed = {name: epoch(pair, storage) for name, storage in _EPOCHS.items()}
    found = side_by_side.medians(timed, _REPEATS.value)
    rows.append(
      [
        ' to '.join(one_program.NETWORKS[pair][:2]),
        *(f'{1e3 * found[name]:.1f}' for name in ('live', 'empty', 'full')),
        f'{found["live"] / found["full"]:.2f}',
      ]
    )
  header = ['pair', 'live', 'cache empty', 'cache full', 'live / full']
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
