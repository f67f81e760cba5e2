"""Contrastive representation distillation, its memory as explicit state."""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows

# The authors add this to the noise's density; it shows in the value.
_EPSILON = 1e-7

# Scores of all examples are computed, in one product, where they are at most
# this many times those that are needed.
_DENSE_RATIO = 4


class ContrastMemory(NamedTuple):
  """The memory of every example of the training set.

  Attributes:
    student: The student's embeddings, shape `[examples, dim]`.
    teacher: The teacher's embeddings, shape `[examples, dim]`.
    log_z: Logarithms of the constants that normalise the student's and the
      teacher's scores, shape `[2]`; -inf until the first batch sets them.
  """

  student: jax.Array
  teacher: jax.Array
  log_z: jax.Array


def init_contrast_memory(
  key: chex.PRNGKey,
  examples: int,
  dim: int = 128,
  *,
  dtype: chex.ArrayDType = jnp.float32,
) -> ContrastMemory:
  """Random embeddings, uniform with variance `1 / dim`; no constants yet.

  >>> memory = init_contrast_memory(jax.random.key(0), 10, dim=4)
  >>> memory.student.shape, memory.teacher.shape
  ((10, 4), (10, 4))

  Args:
    key: From `jax.random.key`.
    examples: How many there are in the training set.
    dim: Size of the embeddings.
    dtype: Of the embeddings, `2 * examples * dim` numbers.
  """
  bound = (3 / dim) ** 0.5
  student, teacher = jax.random.uniform(
    key, (2, examples, dim), dtype, minval=-bound, maxval=bound
  )
  log_z = numerics.at_least_float32(jnp.full(2, -jnp.inf, dtype))
  return ContrastMemory(student, teacher, log_z)


@contract.promises(
  'scalar', temperature=contract.POSITIVE, momentum=contract.FRACTION
)
def contrastive_representation_loss(
  student: chex.Array,
  teacher: chex.Array,
  memory: ContrastMemory,
  index: chex.Array,
  sample_index: chex.Array,
  *,
  temperature: chex.Numeric = 0.07,
  momentum: chex.Numeric = 0.5,
  mask: chex.Array | None = None,
) -> tuple[jax.Array, ContrastMemory]:
  """Tells each embedding's own remembered counterpart from those of others.

  With the score `x_ij = exp(v_i . w_j / temperature) / z` of embedding `v_i` of
  one network and remembered `w_j` of the other, and `c = negatives / examples`,
  `mean_i(-log x_ii / (x_ii + c) - sum_j log c / (x_ij + c))`, once with the
  student's and once with the teacher's embeddings as `v`, summed (`c` in a
  denominator has 1e-7 added). The first batch sets each `z` to `examples` times
  the mean of the exponentials, for good. Then the memory of the batch moves,
  `w_i <- unit(momentum * w_i + (1 - momentum) * v_i)`. Couples the examples of
  the batch (mean, `z`, memory).

  No gradient flows through the memory or `z`, as in the paper's code. Nothing
  is mutated; an index that occurs twice in a batch is written by the last valid
  one (by whichever comes last elsewhere). On several devices call it with the
  gathered, global batch: all compute the same memory.

  Time `O(N K D)` and memory `O(K D + N K)` beyond the banks, for `K` negatives,
  example by example and again in the backward pass; or, where
  `examples <= 4 (K + 1)`, one product of time `O(N D examples)` and memory
  `O(N K)`. (The usual form gathers `N x K x D` numbers twice.)

  >>> rows, index = jnp.eye(2), jnp.array([0, 1])
  >>> memory = ContrastMemory(rows, rows, jnp.full(2, -jnp.inf))
  >>> loss, memory = contrastive_representation_loss(
  ...   rows, rows, memory, index, jnp.array([[0, 1], [1, 0]]), temperature=1.0
  ... )
  >>> print(f'{loss:.4f}')
  1.9031

  Args:
    student: Projected embeddings of length 1, shape `[batch, dim]`.
    teacher: Projected embeddings of length 1, same shape.
    memory: See `init_contrast_memory`.
    index: Integers, each example's place in the training set, shape `[batch]`.
    sample_index: Integers, shape `[batch, 1 + negatives]`: `index`, then the
      negatives. See `sample_negatives`.
    temperature: Divides the inner products. Above 0.
    momentum: Share of the old memory in the new. From 0 to 1.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows neither
      count nor write, and their indices are not read.

  Returns:
    The loss, a scalar, float32 at least, and the new memory.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Tian et al., `Contrastive Representation Distillation
    <https://arxiv.org/abs/1910.10699>`_, 2020, equation 18.
  """
  chex.assert_equal_shape([student, teacher])
  chex.assert_equal_shape([memory.student, memory.teacher])
  chex.assert_shape(memory.student, (None, student.shape[1]))
  chex.assert_shape([index, sample_index[:, 0]], (student.shape[0],))
  chex.assert_type([student, teacher], float)
  chex.assert_type([index, sample_index], int)
  valid = numerics.valid_rows(student, mask)
  student = rows.flattened(student, valid)
  teacher = rows.flattened(teacher, valid)
  memory = jax.lax.stop_gradient(memory)
  chosen = jnp.where(valid[:, None], sample_index, 0)
  student_loss, student_log_z = _noise_contrast(
    _scores(student, memory.teacher, chosen) / temperature,
    memory.log_z[0],
    memory.teacher.shape[0],
    valid,
  )
  teacher_loss, teacher_log_z = _noise_contrast(
    _scores(teacher, memory.student, chosen) / temperature,
    memory.log_z[1],
    memory.student.shape[0],
    valid,
  )
  write = _last_of_each(index, valid)
  new_memory = ContrastMemory(
    _updated(memory.student, student, index, write, momentum),
    _updated(memory.teacher, teacher, index, write, momentum),
    jnp.stack([student_log_z, teacher_log_z]),
  )
  return student_loss + teacher_loss, new_memory


def _scores(
  anchors: chex.Array, bank: chex.Array, chosen: chex.Array
) -> jax.Array:
  """Inner products of each anchor with its own choice of remembered rows."""
  highest = jax.lax.Precision.HIGHEST
  bank = numerics.at_least_float32(bank).astype(anchors.dtype)
  if bank.shape[0] <= _DENSE_RATIO * chosen.shape[1]:
    products = jnp.matmul(anchors, bank.T, precision=highest)
    return jnp.take_along_axis(products, chosen, axis=1)

  @jax.checkpoint  # Store no gathered rows: N of them would be N x K x D.
  def of_one(anchor_and_chosen):
    anchor, own = anchor_and_chosen
    return jnp.matmul(bank[own], anchor, precision=highest)

  return jax.lax.map(of_one, (anchors, chosen))


def _noise_contrast(
  logits: chex.Array, log_z: chex.Array, examples: int, valid: chex.Array
) -> tuple[jax.Array, jax.Array]:
  """Mean loss of telling column 0 from noise, and the constant it used."""
  count = rows.count(valid, logits.dtype)
  fresh = jax.nn.logsumexp(jnp.where(valid[:, None], logits, -jnp.inf))
  fresh += math.log(examples / logits.shape[1]) - jnp.log(count)
  log_z = log_z.astype(logits.dtype)
  log_z = jnp.where(log_z > -jnp.inf, log_z, jax.lax.stop_gradient(fresh))
  log_x = logits - jnp.where(log_z > -jnp.inf, log_z, 0)
  negatives = logits.shape[1] - 1
  noise = max(negatives, 1) / examples
  log_odds = log_x - math.log(noise + _EPSILON)
  # As softplus, not as differences of logarithms: most odds are so small that
  # nothing would be left of them, and the same error is added K times.
  losses = jax.nn.softplus(-log_odds[:, 0])
  losses += jnp.sum(jax.nn.softplus(log_odds[:, 1:]), axis=1)
  losses += negatives * math.log1p(_EPSILON / noise)
  return jnp.sum(jnp.where(valid, losses, 0)) / count, log_z


def _last_of_each(index: chex.Array, valid: chex.Array) -> jax.Array:
  """Which valid rows have no later valid row of the same index."""
  position = jnp.arange(index.shape[0])
  later = position[None, :] > position[:, None]
  same = (index[None, :] == index[:, None]) & valid[None, :]
  return valid & ~jnp.any(later & same, axis=1)


def _updated(
  bank: chex.Array,
  embeddings: chex.Array,
  index: chex.Array,
  write: chex.Array,
  momentum: chex.Numeric,
) -> jax.Array:
  """The memory with the rows of the batch moved towards their embeddings."""
  embeddings = jax.lax.stop_gradient(embeddings)
  old = numerics.at_least_float32(bank[jnp.where(write, index, 0)])
  new = momentum * old.astype(embeddings.dtype) + (1 - momentum) * embeddings
  # Rows that stay as they are get an index past the end, which is dropped.
  place = jnp.where(write, index, bank.shape[0])
  return bank.at[place].set(rows.unit(new).astype(bank.dtype), mode='drop')
