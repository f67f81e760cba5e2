"""Batches from data that does not fit on the device."""

import collections
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import numpy as np

from kdjax.data.arrays import Examples, Source


def batches(
  source: Source, order_indices: Any, weights: Any, *, prefetch: int = 2
) -> Iterator[Examples]:
  """Reads batches in order, ahead of the consumer.

  Closing the iterator, or dropping it, ends its threads.

  Args:
    source: Source of the examples.
    order_indices: Positions in `source`, `[steps, batch]`, for instance from
      `epoch_order`.
    weights: Weights of the examples, `[steps, batch]`, passed on unchanged.
    prefetch: Number of batches read ahead, each by its own thread; positive.

  Returns:
    An iterator over `steps` dicts: `image` uint8 `[batch, h, w, c]`, `label`
    int32, `weight` float32 and `index` int32, all `[batch]`. An error in
    reading a batch is raised when that batch is due.

  Raises:
    ValueError: if the shapes differ or `prefetch` is not positive.
  """
  indices = np.asarray(order_indices, np.int32)
  weights = np.asarray(weights, np.float32)
  if indices.ndim != 2 or indices.shape != weights.shape:
    raise ValueError(
      'order_indices and weights must both be [steps, batch], got shapes'
      f' {indices.shape} and {weights.shape}.'
    )
  if prefetch < 1:
    raise ValueError(f'prefetch must be positive, got {prefetch}.')
  return _generate(source, indices, weights, prefetch)


def _generate(
  source: Source, indices: np.ndarray, weights: np.ndarray, prefetch: int
) -> Iterator[Examples]:
  def read(step: int) -> Examples:
    examples = source.fetch(indices[step])
    return {**examples, 'weight': weights[step], 'index': indices[step]}

  pending: collections.deque[futures.Future[Examples]] = collections.deque()
  pool = futures.ThreadPoolExecutor(prefetch, thread_name_prefix='batches')
  try:
    for step in range(len(indices)):
      pending.append(pool.submit(read, step))
      if len(pending) > prefetch:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()
  finally:
    pool.shutdown(cancel_futures=True)
