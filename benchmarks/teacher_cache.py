"""An epoch with a live teacher, and with a cache that is empty or full.

python -m benchmarks.teacher_cache

One view of each example, so that the first epoch computes all that there is.
The epochs are those that recipes run, see `epoch_jobs`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags

from benchmarks import epoch_jobs, one_program, side_by_side
from kdjax import cache, data, training, transforms

_REPEATS = flags.DEFINE_integer('rounds', 5, 'Epochs of each.', lower_bound=1)
_PAIRS = flags.DEFINE_list('networks', 'mlp,vit,resnet', 'Of mlp, vit, resnet.')
_EXAMPLES = 256
_LOSS = transforms.soft_targets(temperature=4.0)


class _Forgetful(cache.DeviceStorage):
  """Has to be told everything every time."""

  def has(self, rows: np.ndarray) -> np.ndarray:
    """Nothing."""
    return np.zeros(len(rows), bool)


def epoch(pair: str, storage: Callable | None) -> Callable[[], None]:
  """An epoch, with a live teacher or a cache."""
  job = epoch_jobs.job(pair, _LOSS, _EXAMPLES)
  cached = None
  if storage is not None:
    rows = storage(_EXAMPLES, (epoch_jobs.CLASSES,), np.dtype(np.float32))
    cached = training.CachedTeacher(
      job.teacher,
      job.variables,
      data.identity_view(),
      {'logits': rows},
      chunk=_EXAMPLES,
    )
  return epoch_jobs.epoch(job, cached=cached)


_EPOCHS = {'live': None, 'empty': _Forgetful, 'full': cache.DeviceStorage}


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  print(side_by_side.environment())
  print(
    f'{_EXAMPLES} examples, batch {epoch_jobs.BATCH}, milliseconds an epoch'
  )
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
