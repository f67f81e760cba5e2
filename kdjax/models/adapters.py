"""Adapters from a Linen module, an NNX module or a function to a `Model`."""

import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from kdjax.models.model import (
  Batch,
  Model,
  ModelVariables,
  Outputs,
  merge_outputs,
)

# Maps a batch to a network's inputs.
Inputs = Callable[[Batch], Any]

_IMAGE = operator.itemgetter('image')

_CALL = '__call__'  # the name under which Linen captures a module's output


def from_linen(module: nn.Module, inputs: Inputs = _IMAGE) -> Model:
  """Makes a `Model` of a Linen module.

  Taps are the outputs of all submodules, named by path (`'stage2/block1'`), and
  all values that a module sows into `'intermediates'`, named by path and name
  (`'stage2/preactivation'`). A module that is called several times, or a name
  that is sown several times, gives `'name/0'`, `'name/1'`, ... Values that are
  not arrays are left out.

  Args:
    module: Module whose `__call__` takes the inputs and optionally `train`, and
      returns logits or a dict of arrays. Dropout draws from the `'dropout'`
      stream.
    inputs: Maps a batch to the module's inputs; by default to its images.

  Returns:
    The model. Its state holds every collection except `'params'` and
    `'intermediates'`.
  """
  takes_train = 'train' in inspect.signature(type(module).__call__).parameters

  def call_arguments(train: bool) -> dict[str, Any]:
    return {'train': train} if takes_train else {}

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    # Flax does not fold the stream's name into a key, so the keys must differ.
    rngs = {'params': key, 'dropout': jax.random.fold_in(key, 1)}
    variables = dict(module.init(rngs, inputs(batch), **call_arguments(False)))
    params = variables.pop('params', {})
    return ModelVariables(params, variables)

  def apply(
    variables: ModelVariables,
    batch: Batch,
    *,
    train: bool = False,
    key: chex.PRNGKey | None = None,
  ) -> tuple[Outputs, chex.ArrayTree]:
    collections = list(variables.state) if train else []
    result, updates = module.apply(
      {'params': variables.params, **variables.state},
      inputs(batch),
      **call_arguments(train),
      rngs=None if key is None else {'dropout': key},
      mutable=[*collections, 'intermediates'],
      capture_intermediates=True,
    )
    captured = flatten_dict(updates.get('intermediates', {}))
    captured.pop((_CALL,), None)
    state = {**variables.state, **{c: updates[c] for c in collections}}
    taps = _name_taps(captured.items())
    return merge_outputs(taps, result), state if train else variables.state

  return Model(init, apply, {'model': type(module).__name__})


def from_nnx(
  constructor: Callable[[nnx.Rngs], nnx.Module], inputs: Inputs = _IMAGE
) -> Model:
  """Makes a `Model` of an NNX module.

  NNX makes a module together with its arrays, so this function takes a
  constructor; each call of `init` then gives new variables. Taps are the values
  that the module sows as `nnx.Intermediate`, named as in `from_linen`.

  Args:
    constructor: Makes the module, for instance `lambda rngs: Net(rngs=rngs)`.
      The module takes only the inputs; `train` selects `module.train()` or
      `module.eval()`.
    inputs: Maps a batch to the module's inputs; by default to its images.

  Returns:
    The model. Params and state are nested dicts whose keys are names. The state
    holds every variable except `nnx.Param` and the random streams. The streams
    start from `key` in every call, so `apply` raises a ValueError if the module
    draws from a stream and there is no key.
  """
  abstract = nnx.eval_shape(lambda: constructor(nnx.Rngs(0)))
  graph, *templates = _split_nnx(abstract)

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    del batch
    _, params, state, _ = _split_nnx(constructor(nnx.Rngs(key)))
    return ModelVariables(_to_names(params), _to_names(state))

  def apply(
    variables: ModelVariables,
    batch: Batch,
    *,
    train: bool = False,
    key: chex.PRNGKey | None = None,
  ) -> tuple[Outputs, chex.ArrayTree]:
    streams = _reseeded(templates[2], key)
    values = (*map(_from_names, templates, variables), streams)
    module = nnx.merge(graph, *values)
    (module.train if train else module.eval)()
    result, sown = nnx.capture(module, nnx.Intermediate)(inputs(batch))
    _, _, state, drawn = _split_nnx(module)
    if key is None:
      _check_undrawn(streams, drawn)
    taps = _name_taps((p, v.get_value()) for p, v in nnx.to_flat_state(sown))
    state = _to_names(state) if train else variables.state
    return merge_outputs(taps, result), state

  return Model(init, apply, {'model': type(abstract).__name__})


def from_function(
  function: Callable[[chex.ArrayTree, Any], Any],
  variables: chex.ArrayTree,
  inputs: Inputs = _IMAGE,
) -> Model:
  """Makes a `Model` of a function, such as the forward pass of a checkpoint.

  Args:
    function: Pure function `(params, inputs) -> outputs`; returns logits or a
      dict of arrays by name. It does not receive `train` and `key`.
    variables: Any pytree of arrays; `init` returns it as params for every key.
    inputs: Maps a batch to the function's inputs; by default to its images.

  Returns:
    The model. It has no state.
  """

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    del key, batch
    return ModelVariables(variables, {})

  def apply(
    variables: ModelVariables,
    batch: Batch,
    *,
    train: bool = False,
    key: chex.PRNGKey | None = None,
  ) -> tuple[Outputs, chex.ArrayTree]:
    del train, key
    result = function(variables.params, inputs(batch))
    return merge_outputs({}, result), variables.state

  return Model(init, apply, {'model': _name_of(function)})


def _name_of(function: Callable) -> str:
  return getattr(function, '__name__', type(function).__name__)


def _name_taps(captured: Iterable[tuple[tuple, Any]]) -> Outputs:
  """Names captured arrays by path and leaves out other values."""
  taps = {}
  for path, values in captured:
    name = '/'.join(str(part) for part in path if part != _CALL)
    if not isinstance(values, tuple):  # sown with a reduce_fn of its own
      values = (values,)
    for i, value in enumerate(values):
      if isinstance(value, jax.Array):
        taps[name if len(values) == 1 else f'{name}/{i}'] = value
  return taps


def _split_nnx(module: nnx.Module) -> tuple:
  """Splits into the static graph, params, state and random streams."""
  is_state = nnx.filterlib.Not(nnx.filterlib.Any(nnx.Param, nnx.RngState))
  return nnx.split(module, nnx.Param, is_state, nnx.RngState)


def _to_names(state: nnx.State) -> chex.ArrayTree:
  # NNX numbers the members of a list; checkpoints hold names only.
  return unflatten_dict(
    {
      tuple(map(str, path)): variable.get_value()
      for path, variable in nnx.to_flat_state(state)
    }
  )


def _from_names(template: nnx.State, values: chex.ArrayTree) -> chex.ArrayTree:
  values = flatten_dict(values)
  return unflatten_dict(
    {
      path: values[tuple(map(str, path))]
      for path, _ in nnx.to_flat_state(template)
    }
  )


def _reseeded(template: nnx.State, key: chex.PRNGKey | None) -> chex.ArrayTree:
  """Returns new values of all random streams, each with its own key."""
  key = jax.random.key(0) if key is None else key
  streams = {}
  for i, (path, variable) in enumerate(nnx.to_flat_state(template)):
    if isinstance(variable, nnx.RngKey):
      stream_key = jax.random.fold_in(key, i)
      streams[path] = jax.random.split(stream_key, variable.shape)
    else:
      streams[path] = jnp.zeros(variable.shape, jnp.uint32)
  return unflatten_dict(streams)


def _check_undrawn(streams: chex.ArrayTree, drawn: nnx.State) -> None:
  """Raises a ValueError if any stream has advanced."""
  before = flatten_dict(streams)
  for path, variable in nnx.to_flat_state(drawn):
    # A draw replaces the counter; its value may be unknown while tracing.
    if variable.get_value() is not before[path]:
      raise ValueError('key must be given where the module draws, got None.')
