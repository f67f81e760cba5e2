"""Parts that factories of feature losses share: taps, pairs, modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from kdjax.losses import numerics
from kdjax.losses.feature import maps
from kdjax.transforms import axes, base

# Name of a tap, or of several whose losses are summed.
Taps = str | Sequence[str]


def names(argument: str, taps: Taps) -> tuple[str, ...]:
  """One or several taps as a tuple; ValueError where there is none."""
  taps = (taps,) if isinstance(taps, str) else tuple(taps)
  if not taps or not all(isinstance(tap, str) for tap in taps):
    raise ValueError(f'{argument} must name at least one tap, got {taps!r}.')
  return taps


def pair_names(student: Taps, teacher: Taps) -> list[tuple[str, str]]:
  """Pairs of taps; ValueError unless there are as many of either."""
  student, teacher = names('student', student), names('teacher', teacher)
  if len(student) != len(teacher):
    raise ValueError(
      'student and teacher must name as many taps as each other, got '
      f'{student} and {teacher}.'
    )
  return list(zip(student, teacher, strict=True))


def example(outputs: base.Outputs, name: str, network: str) -> jax.Array:
  """One example's zeros in place of a tap, of which only the shape is known."""
  base.check_name(name, outputs, network)
  tap = outputs[name]
  return numerics.at_least_float32(jnp.zeros((1, *tap.shape[1:]), tap.dtype))


def read(outputs: base.Outputs, name: str, batch: Mapping) -> jax.Array:
  """A tap in float32 at least, with zeros for padding."""
  return base.without_padding(numerics.at_least_float32(outputs[name]), batch)


def as_map(tap: chex.Array, name: str) -> jax.Array:
  """A map as it is, a vector `[batch, dim]` as the 1x1 map of its channels."""
  if tap.ndim not in (2, 4):
    raise ValueError(
      f'{name!r} must be a map [batch, height, width, channels] or a vector '
      f'[batch, channels], got one of shape {tap.shape[1:]} per example.'
    )
  return tap[:, None, None, :] if tap.ndim == 2 else tap


def example_map(outputs: base.Outputs, name: str, network: str) -> jax.Array:
  """`example` as a map."""
  return as_map(example(outputs, name, network), name)


def read_map(outputs: base.Outputs, name: str, batch: Mapping) -> jax.Array:
  """`read` as a map."""
  return as_map(read(outputs, name, batch), name)


def check_equal(what: str, student: Any, teacher: Any, pair: tuple) -> None:
  """Raises ValueError unless a pair of taps agrees in something."""
  if student != teacher:
    raise ValueError(
      f'student {pair[0]!r} and teacher {pair[1]!r} must have the same {what}, '
      f'got {student} and {teacher}.'
    )


def init_module(
  key: chex.PRNGKey, module: nn.Module, *inputs: Any
) -> base.LossVariables:
  """Parameters of a module, and its other collections as state."""
  # Compiled, the forward pass that finds the shapes is dead code.
  variables = dict(jax.jit(module.init)(key, *inputs))
  return base.LossVariables(variables.pop('params', {}), variables)


def apply_module(
  module: nn.Module, params: Any, state: Any, *inputs: Any, **options: Any
) -> tuple[Any, Any]:
  """Applies a module; returns its result and its new state."""
  result, new = module.apply(
    {'params': params, **state}, *inputs, mutable=list(state), **options
  )
  return result, dict(new)


def example_keys(
  key_data: chex.Array, step: chex.Array, batch: Mapping, count: int
) -> jax.Array:
  """A key for each example of the batch: its own at every step.

  It depends on the example's `index`, not on its place or device.

  Args:
    key_data: `jax.random.key_data` of the key kept in the state.
    step: Integer scalar.
    batch: With or without `index`; without it places are counted.
    count: Number of examples.
  """
  key = jax.random.fold_in(jax.random.wrap_key_data(key_data), step)
  index = batch.get('index')
  index = jnp.arange(count) if index is None else index
  return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


class Pair(NamedTuple):
  """A tap of either network and what is minimised between them.

  Attributes:
    student: Name of the student's tap.
    teacher: Name of the teacher's tap.
    loss: `(student, teacher, mask) -> loss`, a scalar or one per example.
      `student` is what the connector returned, if there is one.
    weight: Of this pair in the sum.
  """

  student: str
  teacher: str
  loss: Callable[[Any, jax.Array, chex.Array | None], jax.Array]
  weight: float = 1.0


def summed(
  pairs: Sequence[Pair],
  *,
  connect: Callable[..., nn.Module | None] = lambda source, target, axis: None,
  check: Callable[..., None] = lambda source, target, pair: None,
  pool: bool = False,
  couples: bool = False,
) -> base.LossTransform:
  """The weighted sum of the losses of pairs of maps.

  Args:
    pairs: At least one.
    connect: `(source, target, axis_name) -> module`, from two maps, whose
      shapes it reads, and a mapped axis for batch norms, to the module
      `(source, mask) -> features` trained on the student's side, or None. Its
      variables go by `pair1`, `pair2`, ...
    check: `(source, target, (student, teacher))`; raises ValueError, from
      `init`, if two maps do not fit.
    pool: Average-pool a student's map that is the larger, before `connect`.
    couples: Whether the examples of the batch meet in the losses.
  """
  keys = [f'pair{i}' for i in range(1, len(pairs) + 1)]

  def init(key, student, teacher):
    params, state = {}, {}
    part_keys = jax.random.split(key, len(pairs))
    for part_key, name, pair in zip(part_keys, keys, pairs, strict=True):
      source = example_map(student, pair.student, 'student')
      target = example_map(teacher, pair.teacher, 'teacher')
      check(source, target, (pair.student, pair.teacher))
      module = connect(source, target, None)
      if module is not None:
        own = init_module(part_key, module, source)
        params[name] = own.params
        if own.state:
          state[name] = own.state
    return base.LossVariables(params, state)

  def build(axis_name):
    def apply(variables, student, teacher, batch, step):
      del step
      mask, values, state = batch.get('weight'), [], {}
      for name, pair in zip(keys, pairs, strict=True):
        source = read_map(student, pair.student, batch)
        target = read_map(teacher, pair.teacher, batch)
        if pool:
          source, _ = maps.to_common_size(source, target)
        module = connect(source, target, axis_name)
        if module is not None:
          own = variables.state.get(name, {})
          source, new = apply_module(
            module, variables.params[name], own, source, mask
          )
          if new:
            state[name] = new
        value = pair.loss(source, target, mask)
        value = base.batch_mean(value, batch) if value.ndim else value
        values.append(pair.weight * value)
      return sum(values[1:], values[0]), state, {}

    return init, apply

  if couples:
    return axes.coupled(*build(None))
  return axes.synchronised(build)


def plain(
  loss: Callable[[Any, jax.Array], jax.Array],
  student: Taps,
  teacher: Taps,
  **options: Any,
) -> base.LossTransform:
  """`summed` for one per-example loss of all pairs, each of weight 1."""

  def unmasked(source, target, mask):
    del mask
    return loss(source, target)

  pairs = [Pair(s, t, unmasked) for s, t in pair_names(student, teacher)]
  return summed(pairs, **options)
