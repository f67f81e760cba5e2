"""Hyperparameters of transforms: numbers, schedules, and what is learned."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from kdjax.losses import contract, placement
from kdjax.transforms import axes, base

P = ParamSpec('P')

Schedule = Callable[[jax.Array], jax.Array]


class Learned(NamedTuple):
  """A hyperparameter that trains with the student, among the loss's params.

  Attributes:
    start: The parameter at the start.
    value_of: From the parameter to the hyperparameter.
    gradient_scale: Multiplies the parameter's gradient, a number or a schedule
      of the step: negative to maximise the loss.
  """

  start: float
  value_of: Callable[[jax.Array], jax.Array]
  gradient_scale: float | Schedule = 1.0


def learned(start: float, *, gradient_scale: float | Schedule = 1.0) -> Learned:
  """A hyperparameter above 0 that trains with the student.

  It is the exponential of a parameter, so that it stays above 0.

  >>> term = soft_targets(temperature=learned(4.0))
  >>> outputs = {'logits': jnp.zeros((1, 3))}
  >>> variables = term.init(jax.random.key(0), outputs, outputs)
  >>> print(f'{jnp.exp(variables.params["numbers"]["temperature"]):.4f}')
  4.0000

  Args:
    start: Its value at the start. Above 0.
    gradient_scale: Multiplies its gradient; negative to maximise the loss.

  Raises:
    ValueError: if `start` is not above 0.
  """
  if not start > 0:
    raise ValueError(f'learned: start must be above 0, got {start}.')
  log = jnp.log(jnp.float32(start)).item()
  return Learned(log, jnp.exp, gradient_scale)


# A caller may give any of these; a factory receives a number or an array.
Number: TypeAlias = Any


def accepts(
  **kinds: contract.Kind,
) -> Callable[
  [Callable[P, base.LossTransform]], Callable[P, base.LossTransform]
]:
  """Decorates a factory of transforms: what its hyperparameters may be.

  Each may be a Python or NumPy number, checked where the transform is built; a
  JAX array; a schedule, called with the step as a float32 scalar; or `Learned`.

  Args:
    **kinds: By the name of a hyperparameter the values it may have.
  """

  def decorate(factory):
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def make(*args, **kwargs):
      bound = signature.bind(*args, **kwargs)
      bound.apply_defaults()
      values = bound.arguments
      checked = {
        name: kind
        for name, kind in kinds.items()
        if values[name] is not None
        or signature.parameters[name].default is not None
      }
      return built(
        lambda values: factory(**values), values, checked, factory.__name__
      )

    return make

  return decorate


def built(
  make: Callable[[dict[str, Any]], base.LossTransform],
  values: Mapping[str, Any],
  kinds: Mapping[str, contract.Kind | None],
  name: str,
) -> base.LossTransform:
  """`make(values)`, with numbers checked and schedules called at every step.

  Args:
    make: From hyperparameters, numbers or arrays, to a transform.
    values: Hyperparameters: numbers, arrays of JAX, schedules, or `Learned`.
    kinds: By the name of a hyperparameter the values it may have; None if
      nobody knows.
    name: Names the transform in errors.

  Raises:
    RefusedError: if a number is not allowed.
  """
  values, moving = dict(values), {}
  for key, kind in kinds.items():
    value = values[key]
    changes = isinstance(value, Learned | jax.Array) or callable(value)
    if changes and not (kind and kind.static):
      moving[key] = value
    elif kind:
      try:
        values[key] = contract.checked(key, value, kind)
      except contract.RefusedError as error:
        raise contract.RefusedError(name, error.text) from error
  if not moving:
    return make(values)
  return _moving(lambda changed: make(values | changed), moving)


def _moving(
  make: Callable[[dict], base.LossTransform], moving: dict[str, Any]
) -> base.LossTransform:
  """A transform whose hyperparameters are no constants of the program.

  Args:
    make: From values by name to the transform.
    moving: Schedules, `Learned` and arrays of JAX by name.
  """
  trained = {k: v for k, v in moving.items() if isinstance(v, Learned)}
  arrays = {k: v for k, v in moving.items() if isinstance(v, jax.Array)}

  def build(place):
    """`place` puts a transform on an axis, or leaves it."""

    def apply(variables, student, teacher, batch, step):
      given, (params, own) = variables.params
      values = given | {
        name: _value(number, params.get(name), step)
        for name, number in moving.items()
        if name not in given
      }
      value, state, metrics = place(make(values)).apply(
        base.LossVariables(own, variables.state), student, teacher, batch, step
      )
      shown = {name: x for name, x in values.items() if not jnp.ndim(x)}
      return value, state, metrics | shown

    placed = base.on_any_mesh(apply)

    def with_arrays(variables, *others):
      # As arguments, since an array of an outer mesh cannot be closed over.
      both = arrays, _split(variables.params, bool(trained))
      return placed(variables._replace(params=both), *others)

    return with_arrays

  def init(key, student, teacher):
    # Any number will do: what a transform owns does not depend on it.
    params = {name: jnp.float32(x.start) for name, x in trained.items()}
    values = {
      name: _value(number, params.get(name), jnp.int32(0))
      for name, number in moving.items()
    }
    own = make(values).init(key, student, teacher)
    if not trained:
      return own
    return own._replace(params={'numbers': params, 'loss': own.params})

  def on_axis(axis_name):
    apply = build(lambda term: axes.on_axis(term, axis_name))
    return axes.on_this_axis(init, apply, axis_name)

  return base.LossTransform(init, build(lambda term: term), on_axis)


def is_number(x: Any) -> bool:
  """Whether it is one number, a schedule or learned."""
  if isinstance(x, Learned) or callable(x):
    return True
  single = isinstance(x, int | float | np.generic) or (
    placement.is_array(x) and not x.ndim
  )
  return single and not isinstance(x, bool)


def with_param(number: Any, params: Any) -> Any:
  """The params of a term, beside that of its weight if it is learned."""
  if not isinstance(number, Learned):
    return params
  return {'numbers': {'weight': jnp.float32(number.start)}, 'loss': params}


def resolved(number: Any, params: Any, step: Any) -> tuple[Any, Any]:
  """A weight at a step, and the term's own params."""
  own, params = _split(params, isinstance(number, Learned))
  if isinstance(number, Learned) or callable(number):
    return _value(number, own.get('weight'), step), params
  return number, params


def _split(params: Any, trained: bool) -> tuple[dict, Any]:
  return (params['numbers'], params['loss']) if trained else ({}, params)


def _value(number: Any, param: Any, step: Any) -> jax.Array:
  """The hyperparameter at a step."""
  if isinstance(number, jax.Array):
    return number
  count = jnp.asarray(step).astype(jnp.float32)
  if not isinstance(number, Learned):
    return jnp.asarray(number(count))
  given = number.gradient_scale
  scale = given(count) if callable(given) else given
  return number.value_of(
    scaled_gradient(param, jnp.asarray(scale, param.dtype))
  )


def scaled_gradient(x: jax.Array, scale: jax.Array) -> jax.Array:
  """`x`, with its gradient times `scale`: reversed where that is negative."""
  fixed = jax.lax.stop_gradient(x)
  return fixed + scale * (x - fixed)
