"""The order of the examples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def example_keys(key: jax.Array, positions: jax.Array) -> jax.Array:
  """Derives one key per example.

  Args:
    key: One key, new in every epoch or step.
    positions: Integers `[batch]` that identify the examples, for instance their
      positions in the global batch.

  Returns:
    Keys `[batch]`.
  """
  return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)


def epoch_order(
  key: jax.Array, examples: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Shuffles an epoch and divides it into full batches.

  The last batch is filled up with further examples from the beginning of the
  permutation. These have weight 0; they are real images, so that batch
  statistics stay meaningful. The other examples of that batch have a larger
  weight, so that the mean of `loss * weight` over a global batch is the mean
  over the examples with a positive weight.

  The order is the same inside and outside `jax.jit` and on every backend.

  Args:
    key: One key, new in every epoch.
    examples: Number of examples, positive. Static.
    batch_size: Size of the global batch, positive. Static.

  Returns:
    `(indices, weight)`, both `[steps, batch_size]`: int32 and float32, with
    `steps = ceil(examples / batch_size)`. `weight` has mean 1 in every batch,
    and each example has a positive weight exactly once.

  Raises:
    ValueError: if `examples` or `batch_size` is not positive.
  """
  positions = _positions(examples, batch_size)
  permutation = jax.random.permutation(key, examples).astype(jnp.int32)
  real = (positions < examples).astype(np.float32)
  weight = real / real.mean(axis=1, keepdims=True)
  return permutation[positions % examples], jnp.asarray(weight)


def sequential_order(
  examples: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Goes through all examples in order, for evaluation.

  Unlike in `epoch_order`, each weight is 1 or 0, so sums of `value * weight`
  over all batches, divided by the sum of the weights, are exact means.

  Args:
    examples: Number of examples, positive.
    batch_size: Size of the global batch, positive.

  Returns:
    `(indices, weight)`, both `[steps, batch_size]`: int32 and float32. The last
    batch is filled up from the beginning with weight 0.

  Raises:
    ValueError: if `examples` or `batch_size` is not positive.
  """
  positions = _positions(examples, batch_size)
  real = (positions < examples).astype(np.float32)
  return jnp.asarray(positions % examples), jnp.asarray(real)


def transfer_subset(seed: int, labels: Any, examples: int) -> np.ndarray:
  """Draws a transfer set that is as balanced over the classes as possible.

  A class with too few examples contributes all of them. With the same seed and
  labels, a smaller draw is a subset of a larger draw.

  Args:
    seed: Seed of the draw, `0..2**32 - 1`.
    labels: Classes of the examples to draw from, integers `[n]`.
    examples: Number of examples to draw, at most `n`; 0 means all.

  Returns:
    Positions in `labels`, ascending, int64 `[examples]`.

  Raises:
    ValueError: if `examples` is negative or above `n`.
  """
  labels = np.asarray(labels)
  available = len(labels)
  _check_subset(examples, available)
  if examples == 0:
    return np.arange(available)
  # RandomState's stream is frozen, so all versions of NumPy draw the same set.
  shuffled = np.random.RandomState(seed).permutation(available)
  rank = np.empty(available, np.int64)
  for label in np.unique(labels):
    members = shuffled[labels[shuffled] == label]
    rank[members] = np.arange(len(members))
  # The first example of every class comes first, then the second of each, ...
  turns = shuffled[np.argsort(rank[shuffled], kind='stable')]
  return np.sort(turns[:examples])


def held_out(labels: Any, fraction: float) -> np.ndarray:
  """Draws a part of every class, for tests or validation.

  The number of every class is rounded; a class of two or more examples has at
  least one on either side, a single example is not held out. The draw depends
  only on the labels and the fraction.

  >>> int(held_out([0, 0, 0, 1, 1, 2], 0.4).sum())
  2

  Args:
    labels: Classes of the examples, integers `[n]`.
    fraction: Share to hold out, above 0 and below 1.

  Returns:
    Whether each example is held out, bool `[n]`.

  Raises:
    ValueError: if `fraction` is out of range.
  """
  if not 0 < fraction < 1:
    raise ValueError(f'fraction must be above 0 and below 1, got {fraction}.')
  labels = np.asarray(labels)
  # RandomState's stream is frozen, so all versions of NumPy draw the same set.
  shuffled = np.random.RandomState(0).permutation(len(labels))
  found = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    members = shuffled[labels[shuffled] == label]
    count = max(1, round(fraction * len(members)))
    found[members[: min(count, len(members) - 1)]] = True
  return found


def proportional_subset(seed: int, labels: Any, examples: int) -> np.ndarray:
  """Draws a transfer set that has the classes in their proportions.

  Every class has its share of `examples`, up to one example; with the same seed
  and labels, a smaller draw is a subset of a larger draw.

  >>> labels = np.array([0, 0, 0, 0, 1, 1])
  >>> np.bincount(labels[proportional_subset(0, labels, 3)]).tolist()
  [2, 1]

  Args:
    seed: Seed of the draw, `0..2**32 - 1`.
    labels: Classes of the examples to draw from, integers `[n]`.
    examples: Number of examples to draw, at most `n`; 0 means all.

  Returns:
    Positions in `labels`, ascending, int64 `[examples]`.

  Raises:
    ValueError: if `examples` is negative or above `n`.
  """
  labels = np.asarray(labels)
  _check_subset(examples, len(labels))
  if examples == 0:
    return np.arange(len(labels))
  shuffled = np.random.RandomState(seed).permutation(len(labels))
  turn = np.empty(len(labels))
  for label in np.unique(labels):
    members = shuffled[labels[shuffled] == label]
    # The classes take turns at a pace that is in proportion to their sizes.
    turn[members] = (np.arange(len(members)) + 0.5) / len(members)
  turns = shuffled[np.argsort(turn[shuffled], kind='stable')]
  return np.sort(turns[:examples])


def _check_subset(examples: int, available: int) -> None:
  if not 0 <= examples <= available:
    raise ValueError(
      f'examples must be within 0..{available} (0 means all), got {examples}.'
    )


def _positions(examples: int, batch_size: int) -> np.ndarray:
  """Numbers the places of an epoch: `[steps, batch_size]`."""
  for name, value in (('examples', examples), ('batch_size', batch_size)):
    if value < 1:
      raise ValueError(f'{name} must be positive, got {value}.')
  steps = -(-examples // batch_size)
  return np.arange(steps * batch_size, dtype=np.int32).reshape(
    steps, batch_size
  )
