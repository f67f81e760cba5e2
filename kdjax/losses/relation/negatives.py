"""Negatives of other classes, drawn inside a program of fixed shapes."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class NegativeTable(NamedTuple):
  """The training set sorted by class.

  Attributes:
    order: Examples, class by class, shape `[examples]`.
    start: Where each class begins in `order`, shape `[classes]`.
    sizes: How many examples each class has, shape `[classes]`.
  """

  order: jax.Array
  start: jax.Array
  sizes: jax.Array


def negative_table(labels: chex.Array, classes: int) -> NegativeTable:
  """Sorts the training set by class, once, for `sample_negatives`.

  `negative_table(jnp.arange(examples), examples)` makes every example a class
  of its own: the negatives of an example are then all others (the paper's form
  without labels).

  >>> table = negative_table(jnp.array([0, 1, 0]), 2)
  >>> print(table.order, table.start, table.sizes)
  [0 2 1] [0 2] [2 1]

  Args:
    labels: Class of every training example, integers, shape `[examples]`.
    classes: How many there are.

  Raises:
    AssertionError: if the labels are not integers of rank 1.
  """
  chex.assert_rank(labels, 1)
  chex.assert_type(labels, int)
  count = jnp.bincount(labels, length=classes)
  start = jnp.cumsum(count) - count
  return NegativeTable(jnp.argsort(labels, stable=True), start, count)


def sample_negatives(
  key: chex.PRNGKey,
  labels: chex.Array,
  index: chex.Array,
  table: NegativeTable,
  *,
  negatives: int = 16384,
) -> jax.Array:
  """Draws negatives uniformly from the examples of other classes.

  A rank is drawn among the examples that are not of the class, and counted in
  the table past the class: exact, without rejection, time and memory
  `O(batch * negatives)`. With replacement, as the loss assumes of its noise;
  RepDistiller's loader draws without where a class leaves enough others. If
  all examples are of one class, from all of them.

  Depends on the key and the global batch only: drawn with the same key, for
  the gathered batch, it is the same on any number of devices.

  >>> table = negative_table(jnp.array([0, 1, 0]), 2)
  >>> key, labels, index = jax.random.key(0), jnp.array([0]), jnp.array([2])
  >>> print(sample_negatives(key, labels, index, table, negatives=3))
  [[2 1 1 1]]

  Args:
    key: From `jax.random.key`; another for every step.
    labels: Classes of the batch, integers, shape `[batch]`.
    index: The batch's places in the training set, integers, shape `[batch]`.
    table: From `negative_table`.
    negatives: How many for each example.

  Returns:
    Places in the training set, shape `[batch, 1 + negatives]`, of the dtype of
    `index`; column 0 is `index`.

  Raises:
    AssertionError: if shapes or dtypes do not fit together.
  """
  chex.assert_rank([labels, index], 1)
  chex.assert_equal_shape([labels, index])
  chex.assert_type([labels, index], int)
  examples = table.order.shape[0]
  count, start = table.sizes[labels], table.start[labels]
  count = jnp.where(count < examples, count, 0)
  rank = jax.random.randint(
    key,
    (index.shape[0], negatives),
    0,
    (examples - count)[:, None],
    dtype=count.dtype,
  )
  past = (rank >= start[:, None]) & (count > 0)[:, None]
  rank = jnp.where(past, rank + count[:, None], rank)
  drawn = table.order[rank].astype(index.dtype)
  return jnp.concatenate([index[:, None], drawn], axis=1)
