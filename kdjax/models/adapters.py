"""From a Flax Linen module, a Flax NNX module or a function to a `Model`."""

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

# From a batch to what a network reads.
Inputs = Callable[[Batch], Any]

_IMAGE = operator.itemgetter('image')

_CALL = '__call__'  # the name under which Linen captures a module's output


def from_linen(module: nn.Module, inputs: Inputs = _IMAGE) -> Model:
  """Makes a `Model` of a Linen module.

  Taps are the output of every submodule, named by its path (`'stage2/block1'`),
  and everything a module sows into `'intermediates'`, named by path and name
  (`'stage2/preactivation'`). A module called more than once, or a name sown
  more than once, gives `'name/0'`, `'name/1'`, ... Values that are not arrays
  are left out.

  Args:
    module: Its `__call__` takes the inputs and, if it names one, `train`; it
      returns logits or a dict of arrays. Dropout draws from the
      `'dropout'` stream.
    inputs: From a batch to what the module takes; its images by default.

  Returns:
    The model. Its state holds every collection but `'params'` and
    `'intermediates'`.
  """
  takes_train = 'train' in inspect.signature(type(module).__call__).parameters

  def call_arguments(train: bool) -> dict[str, Any]:
    return {'train': train} if takes_train else {}

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    # Flax does not fold the stream's name into the key, so they must differ.
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

  NNX makes a module and its arrays at once, so this takes what makes it; each
  call of `init` then gives fresh variables. Taps are what the module sows as
  `nnx.Intermediate`, named as by `from_linen`.

  Args:
    constructor: For instance `lambda rngs: Net(rngs=rngs)`. The module takes
      the inputs alone; `train` reaches it as `module.train()` and `.eval()`.
    inputs: From a batch to what the module takes; its images by default.

  Returns:
    The model. Params and state are nested dicts with names for keys, the state
    holding every variable but `nnx.Param` and the random streams: these start
    afresh from `key` in every call, so `apply` raises a ValueError if the
    module draws from one and there is no key.
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
  """Makes a `Model` of a function: any other network, or a loaded checkpoint.

  Args:
    function: `(params, inputs) -> outputs`, pure; returns logits or a dict of
      arrays by name. It never learns of `train` and `key`.
    variables: What `init` returns as params whatever its key: any pytree of
      arrays.
    inputs: From a batch to what the function takes; its images by default.

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
  """Names captured values by path and leaves out those that are no arrays."""
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
  """Fresh values of all random streams, each with a key of its own."""
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
