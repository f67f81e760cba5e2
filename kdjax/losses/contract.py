"""Promises that every loss keeps wherever it is called: `promises`.

Errors name the loss, the argument and its value. Hyperparameters may be Python
or NumPy numbers, arrays that JAX traces, or one number for each example. An
empty batch costs nothing. Meshes and mapped axes are those of
`kdjax.losses.placement`.
"""

import functools
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from kdjax.losses import numerics, placement

P = ParamSpec('P')
R = TypeVar('R')

# 'scalar' couples the examples or averages them, 'example' is `[batch, ...]`,
# 'position' keeps all axes of the first argument but the last.
Result = Literal['scalar', 'example', 'position']


class Kind(NamedTuple):
  """Which values a hyperparameter may have.

  Attributes:
    allowed: In words, to end a sentence with 'must be'.
    within: Whether a number, or each of an array, is allowed.
    per_example: Whether it may be one number for each example.
    static: Whether the program's shapes follow from it, so that it must be a
      number of Python or NumPy.
  """

  allowed: str
  within: Callable[[Any], Any]
  per_example: bool = False
  static: bool = False


POSITIVE = Kind('above 0', lambda x: x > 0)
NOT_NEGATIVE = Kind('0 or above', lambda x: x >= 0)
AT_LEAST_ONE = Kind('1 or above', lambda x: x >= 1)
FRACTION = Kind('from 0 to 1', lambda x: (x >= 0) & (x <= 1))
SHARE = Kind('above 0 and at most 1', lambda x: (x > 0) & (x <= 1))
FINITE = Kind('finite', lambda x: abs(x) < float('inf'))
COUNT = Kind('an integer of 1 or more', lambda x: x >= 1, static=True)


def each(kind: Kind) -> Kind:
  """The kind, of which every example may have its own number."""
  return kind._replace(per_example=True)


def fixed(kind: Kind) -> Kind:
  """The kind, as a constant of the program."""
  return kind._replace(static=True)


class Promise(NamedTuple):
  """The promise of a decorated loss, its attribute `promise`.

  Attributes:
    result: What it returns.
    kinds: By the name of a hyperparameter the values it may have.
  """

  result: Result
  kinds: Mapping[str, Kind]


class RefusedError(ValueError, AssertionError):
  """An argument that a loss does not take.

  It is an AssertionError too, as those of chex are.

  Attributes:
    text: The message without the name of the loss.
    asked: What chex asked of the arguments, where that is what was refused.
  """

  def __init__(self, loss: str, text: str, asked: str | None = None):
    super().__init__(f'{loss}: {text}')
    self.text, self.asked = text, asked


def promises(
  result: Result, **kinds: Kind
) -> Callable[[Callable[P, R]], Callable[P, R]]:
  """Decorates a loss with what all losses promise.

  Args:
    result: What it returns.
    **kinds: By the name of a hyperparameter the values it may have. Numbers
      outside are refused; an array outside, whose values no program knows
      while it is traced, becomes NaN.
  """

  def decorate(function: Callable[P, R]) -> Callable[P, R]:
    signature = inspect.signature(function)
    name = function.__name__

    @functools.wraps(function)
    def loss(*args: P.args, **kwargs: P.kwargs) -> R:
      bound = signature.bind(*args, **kwargs)
      bound.apply_defaults()
      try:
        return _call(function, bound, result, kinds)
      except RefusedError as error:
        if error.asked is None:
          raise RefusedError(name, error.text) from error
        # By a loss that this one calls; the caller knows these arguments.
        raise _misfit(name, bound, error.asked) from error
      except AssertionError as error:
        raise _misfit(name, bound, _asked(error)) from error

    loss.promise = Promise(result, kinds)  # type: ignore[attr-defined]
    return loss

  return decorate


def over_classes(value: Any) -> Any:
  """A hyperparameter beside an array that has one more axis."""
  return value[..., None] if getattr(value, 'ndim', 0) else value


def refuse(text: str) -> RefusedError:
  """The error for an argument, inside of a decorated loss."""
  return RefusedError('loss', text)


def _call(function, bound, result: Result, kinds) -> Any:
  """The loss of checked arguments, on whatever mesh they lie."""
  first = _first(bound)
  for name, kind in kinds.items():
    value = bound.arguments[name]
    # None is a number only where it is the default.
    if value is None and bound.signature.parameters[name].default is None:
      continue
    bound.arguments[name] = _hyperparameter(name, value, kind, first, result)
  if result == 'scalar' and first.ndim and first.shape[0] == 0:
    return _of_nothing(bound, first)

  def on_arguments(arguments):
    called = inspect.BoundArguments(bound.signature, arguments)
    return function(*called.args, **called.kwargs)

  def spec_of(leaf):
    if result == 'scalar':
      return PartitionSpec()
    rank = 1 if result == 'example' else max(first.ndim - 1, 0)
    return placement.leading_spec(leaf, rank)

  return placement.with_arrays(
    on_arguments, bound.arguments, spec_of, aligned=True
  )


def _of_nothing(bound, first: Any) -> Any:
  """The result of a scalar loss for a batch without examples."""
  zero = jnp.zeros((), numerics.at_least_float32(first).dtype)
  memory = bound.arguments.get('memory')
  return zero if memory is None else (zero, memory)


def _first(bound) -> Any:
  """The first array, from whose shape and dtype others are told."""
  name, value = next(iter(bound.arguments.items()))
  leaves = jax.tree.leaves(value)
  if not leaves or not placement.is_array(leaves[0]):
    raise refuse(f'{name} must be an array, got {type(value).__name__}.')
  return leaves[0]


def _hyperparameter(
  name: str, value: Any, kind: Kind, first: Any, result: Result
) -> Any:
  """A Python number as it is, or an array of the loss's own dtype."""
  value = checked(name, value, kind)
  if not placement.is_array(value):
    return value
  array = _placed(name, value, kind, first, result)
  array = array.astype(numerics.at_least_float32(first).dtype)
  return jnp.where(kind.within(array), array, jnp.nan)


def checked(name: str, value: Any, kind: Kind) -> Any:
  """A number or array that is allowed; numbers of NumPy as those of Python.

  Raises:
    RefusedError: if it is no number, or one that is not allowed. The values of
      arrays of JAX are not looked at.
  """
  if kind is COUNT:
    return _count(name, value)
  numeric = isinstance(value, int | float | np.generic | np.ndarray | jax.Array)
  dtype = getattr(value, 'dtype', np.dtype(float))
  kinds = (jnp.floating, jnp.integer)
  numeric &= any(jnp.issubdtype(dtype, x) for x in kinds)
  if isinstance(value, bool) or not numeric:
    shown = repr(value) if len(repr(value)) < 80 else type(value).__name__
    raise refuse(f'{name} must be a number {kind.allowed}, got {shown}.')
  if isinstance(value, jax.Array):
    if kind.static:
      raise refuse(f'{name} must be a constant {kind.allowed}, got an array.')
    return value
  if not np.all(kind.within(np.asarray(value, float))):
    raise refuse(f'{name} must be {kind.allowed}, got {value}.')
  if np.ndim(value):
    return value
  return value if isinstance(value, int | float) else value.item()


def _count(name: str, value: Any) -> int:
  try:
    count = operator.index(value)
  except TypeError:
    count = 0
  if isinstance(value, bool) or count < 1:
    raise refuse(f'{name} must be {COUNT.allowed}, got {value!r}.')
  return count


def _placed(
  name: str, value: Any, kind: Kind, first: Any, result: Result
) -> jax.Array:
  """A scalar array, or one number an example with as many axes as the loss."""
  shape = tuple(value.shape)
  lead = first.shape[:1] if result == 'example' else first.shape[:-1]
  if not shape:
    return jnp.asarray(value)
  fitting = shape[:-1] if len(shape) == len(lead) + 1 else shape
  fits = shape[len(fitting) :] in ((), (1,)) and len(fitting) <= len(lead)
  fitting = (*fitting, *(1,) * (len(lead) - len(fitting)))
  fits = fits and all(n in (1, m) for n, m in zip(fitting, lead, strict=fits))
  if not (kind.per_example and fits):
    examples = (
      f' or one of each example, {list(lead)}' if kind.per_example else ''
    )
    raise refuse(f'{name} must be one number{examples}, got {list(shape)}.')
  return jnp.asarray(value).reshape(fitting)


def _misfit(name: str, bound, asked: str) -> RefusedError:
  """The error for arguments that do not fit, with their shapes."""
  arguments = []
  for argument, value in bound.arguments.items():
    leaves = [x for x in jax.tree.leaves(value) if placement.is_array(x)]
    shapes = [f'{x.dtype}{list(x.shape)}' for x in leaves]
    if shapes:
      arguments.append(f'{argument} {", ".join(shapes)}')
  return RefusedError(name, f'{asked}; got {"; ".join(arguments)}.', asked)


def _asked(error: AssertionError) -> str:
  """The message of chex on one line, without its frame."""
  text = ' '.join(str(error).split('failed: ')[-1].split())
  text = re.sub(r'Error in \w+ compatibility check: ', '', text)
  for kind, words in (('float', 'a floating type'), ('int', 'an integer type')):
    text = text.replace(f"<class '{kind}'>", words)
  return text.rstrip('.')


def check_labels(
  labels: chex.Array, logits: chex.Array, *, instead: str
) -> None:
  """Refuses labels that are not one integer for each example.

  Args:
    labels: As given.
    logits: Shape `[..., classes]`.
    instead: What to use for soft labels, to end the message with.
  """
  shape = logits.shape[:-1]
  integer = jnp.issubdtype(labels.dtype, jnp.integer)
  if labels.shape == shape and integer:
    return
  kind = f'{labels.dtype}{list(labels.shape)}'
  raise refuse(
    f'labels must be integers of shape {list(shape)}, got {kind}; {instead}'
  )


def check_labels_or_shares(labels: chex.Array, logits: chex.Array) -> None:
  """Refuses what is neither integer labels nor a distribution of each example.

  Args:
    labels: As given.
    logits: Shape `[..., classes]`.
  """
  shape = logits.shape
  floating = jnp.issubdtype(labels.dtype, jnp.floating)
  integer = jnp.issubdtype(labels.dtype, jnp.integer)
  if (labels.shape == shape and (floating or integer)) or (
    labels.shape == shape[:-1] and integer
  ):
    return
  raise refuse(
    f'labels must be integers of shape {list(shape[:-1])} or shares of shape '
    f'{list(shape)}, got {labels.dtype}{list(labels.shape)}.'
  )
