"""The mean of a loss of the logits of linear heads, from a loss of logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import chunked, log_space


class LinearHead(NamedTuple):
  """A head that does more than multiply.

  Its logits are `cap(scale * (hidden @ kernel + bias))`, where `cap(x)` is
  `soft_cap * tanh(x / soft_cap)` (Gemma's).

  Attributes:
    kernel: Shape `[dim, vocabulary]`.
    bias: Shape `[vocabulary]`, or None.
    scale: Multiplies the logits; a number or a scalar array.
    soft_cap: Bounds them; a number above 0 or a scalar array, or None.
  """

  kernel: jax.Array
  bias: jax.Array | None = None
  scale: chex.Numeric = 1.0
  soft_cap: chex.Numeric | None = None


class Counted(NamedTuple):
  """Which tokens and classes count, and how many tokens are held at a time."""

  mask: chex.Array | None
  vocabulary: int | None
  chunk: int


def mean_of_heads(
  loss: Callable[..., jax.Array],
  student: tuple[chex.Array, Any],
  teacher: tuple[chex.Array, Any],
  hyperparameters: dict[str, Any],
  counted: Counted,
) -> jax.Array:
  """The mean over tokens of a loss between the logits of two heads.

  Args:
    loss: `(student_logits, teacher_logits, **hyperparameters) -> [tokens]`.
    student: Hidden states `[..., dim]` and a head.
    teacher: Likewise, as many tokens.
    hyperparameters: Numbers, scalar arrays, or arrays of the tokens.
    counted: What counts.
  """
  chex.assert_equal_shape_prefix([student[0], teacher[0]], student[0].ndim - 1)
  heads = [_head(*side, counted) for side in (student, teacher)]
  sizes = [head.kernel.shape[-1] for head in heads]
  if sizes[0] != sizes[1]:
    raise contract.refuse(
      'student_head and teacher_head must have as many classes, got '
      f'{sizes[0]} and {sizes[1]}; vocabulary={min(sizes)} cuts both to the '
      'classes that they share.'
    )
  hidden = [student[0], teacher[0]]
  return _mean(loss, hidden, heads, {}, hyperparameters, counted)


def mean_of_student(
  loss: Callable[..., jax.Array],
  student: tuple[chex.Array, Any],
  targets: dict[str, chex.Array],
  hyperparameters: dict[str, Any],
  counted: Counted,
) -> jax.Array:
  """The mean over tokens of a loss between a head's logits and cached targets.

  Args:
    loss: `(student_logits, *targets, **hyperparameters) -> [tokens]`.
    student: Hidden states `[..., dim]` and a head.
    targets: Arrays `[..., k]` of the tokens, in the order the loss takes them.
    hyperparameters: Numbers, scalar arrays, or arrays of the tokens.
    counted: What counts.
  """
  head = _head(*student, counted)
  return _mean(loss, [student[0]], [head], targets, hyperparameters, counted)


def _head(hidden: chex.Array, head: Any, counted: Counted) -> LinearHead:
  """A head that fits the hidden states, cut to the vocabulary."""
  head = head if isinstance(head, LinearHead) else LinearHead(head)
  chex.assert_type([hidden, head.kernel], float)
  chex.assert_shape(head.kernel, (hidden.shape[-1], None))
  if head.bias is not None:
    chex.assert_shape(head.bias, head.kernel.shape[1:])
  if head.soft_cap is not None:
    contract.checked('soft_cap', head.soft_cap, contract.POSITIVE)
  contract.checked('scale', head.scale, contract.FINITE)
  size, classes = counted.vocabulary, head.kernel.shape[1]
  if size is None:
    return head
  if not 1 <= size <= classes:
    raise contract.refuse(
      f'vocabulary must be from 1 to the {classes} classes of a head, got '
      f'{size}.'
    )
  bias = None if head.bias is None else head.bias[:size]
  return head._replace(kernel=head.kernel[:, :size], bias=bias)


def _mean(loss, hidden, heads, targets, hyperparameters, counted) -> jax.Array:
  """The mean of `loss(*logits, *targets, **hyperparameters)`."""
  shape = hidden[0].shape[:-1]
  if counted.mask is not None:
    chex.assert_shape(counted.mask, shape)
  # Python numbers are constants of the program; arrays, which may be traced,
  # go with the tokens or are shared by them.
  constants, own, shared = {}, {}, {}
  shaping = {f'scale{i}': head.scale for i, head in enumerate(heads)}
  shaping |= {f'soft_cap{i}': head.soft_cap for i, head in enumerate(heads)}
  for name, value in (hyperparameters | shaping).items():
    if not isinstance(value, jax.Array):
      constants[name] = value
    elif value.ndim:
      own[name] = jnp.broadcast_to(value, shape).reshape(-1)
    else:
      shared[name] = value
  listed = tuple(targets)

  def of_chunk(logits, tokens, numbers):
    given = constants | numbers | tokens
    logits = [
      _shaped(x, given.pop(f'scale{i}'), given.pop(f'soft_cap{i}'))
      for i, x in enumerate(logits)
    ]
    return loss(*logits, *(given.pop(name) for name in listed), **given)

  own |= {k: jnp.reshape(x, (-1, x.shape[-1])) for k, x in targets.items()}
  return chunked.mean_loss(
    of_chunk,
    chunked.Tokens([jnp.reshape(x, (-1, x.shape[-1])) for x in hidden], own),
    chunked.Shared(
      [
        chunked.Head(
          jnp.asarray(x.kernel), None if x.bias is None else jnp.asarray(x.bias)
        )
        for x in heads
      ],
      shared,
    ),
    mask=None if counted.mask is None else jnp.reshape(counted.mask, -1),
    chunk=counted.chunk,
  )


def _shaped(logits: chex.Array, scale: Any, soft_cap: Any) -> jax.Array:
  """Logits times their scale, and bounded; masked classes stay masked."""
  if soft_cap is None and not isinstance(scale, jax.Array) and scale == 1:
    return logits
  low = log_space.masked(logits)
  # Not -inf times the scale, whose derivative would be 0 * -inf.
  shaped = jnp.where(low, 0, logits) * jnp.asarray(scale, logits.dtype)
  if soft_cap is not None:
    cap = jnp.asarray(soft_cap, logits.dtype)
    shaped = cap * jnp.tanh(shaped / cap)
  return jnp.where(low, -jnp.inf, shaped)
