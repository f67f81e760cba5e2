"""`Model`, the common interface of all networks, and functions of models.

Every network becomes two pure functions with named outputs. `logits` is the
network's answer; every other output is a *tap*, an intermediate value named by
its path ('stage2', 'stage2/preactivation', 'embedding'). A model always returns
all taps; unread taps are dead code under `jax.jit` and cost nothing. So jit the
function that reads the outputs, not `apply` alone, which would have to return
every tap.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import chex
import jax

Outputs = dict[str, jax.Array]

# Arrays of some examples by name: `image`, `label`, ... .
Batch = Mapping[str, jax.Array]


class ModelVariables(NamedTuple):
  """The parameters and the state of a network.

  Attributes:
    params: Pytree of arrays that gradient descent trains.
    state: Pytree of arrays that the forward pass updates (batch statistics);
      `{}` without such arrays.
  """

  params: chex.ArrayTree
  state: chex.ArrayTree


class Model(NamedTuple):
  """A network as two pure functions.

  Attributes:
    init: `(key, batch) -> ModelVariables`. It needs only shapes and dtypes of
      the batch, and may be jitted.
    apply: `(variables, batch, *, train=False, key=None) -> (outputs, state)`.
      The network reads its inputs from the batch: images, or tokens and their
      mask, or the numbers of nodes in a graph.
      `outputs['logits']` of a classifier is `[batch, classes]`, the other
      entries are taps; a network without classes gives its answer another name.
      `train=True` uses the batch's own statistics and dropout (drawn from
      `key`) and returns the new state; `train=False` returns `state` unchanged.
    note: Description of the network, as JSON; `model` names the architecture.
      The note is saved beside trained variables, so that they can be loaded and
      checked.
  """

  init: Callable[[chex.PRNGKey, Batch], ModelVariables]
  apply: Callable[..., tuple[Outputs, chex.ArrayTree]]
  note: Mapping[str, Any] = {}

  @property
  def name(self) -> str:
    """The architecture's name."""
    return self.note.get('model', 'network')


def taps(model: Model, batch: Any) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of a model's outputs without computing the outputs.

  Args:
    model: The model.
    batch: Shapes and dtypes of a batch, as `jax.ShapeDtypeStruct` or arrays.

  Returns:
    Shape of every output by name, `'logits'` included.
  """

  def forward(batch: Batch) -> Outputs:
    variables = model.init(jax.random.key(0), batch)
    return model.apply(variables, batch)[0]

  outputs = jax.eval_shape(forward, batch)
  return {name: output.shape for name, output in outputs.items()}


def middle_stage(names: Iterable[str]) -> str:
  """Returns the tap halfway through a network, FitNets' hint or guided layer.

  Args:
    names: Names of outputs, for instance `taps(model, batch)` or the outputs
      themselves. Only names of the form `stageN` count.

  Returns:
    The `ceil(n / 2)`-th of the `n` stages, counted from one.

  Raises:
    ValueError: if no name has the form `stageN`.

  References:
    Romero et al., `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, 2015, section 3.1.
  """
  names = list(names)
  stages = [name for name in names if re.fullmatch(r'stage\d+', name)]
  if not stages:
    raise ValueError(f"names must hold a 'stageN', got {names}.")
  stages.sort(key=lambda name: int(name.removeprefix('stage')))
  return stages[(len(stages) - 1) // 2]


def merge_outputs(taps: Outputs, result: Any) -> Outputs:
  """Joins the taps and the result of a network.

  Args:
    taps: Taps by name.
    result: Logits, or a dict of arrays by name. A classifier names `'logits'`;
      other networks may use any names.

  Returns:
    The taps and the result in one dict; the result replaces taps of its names.

  Raises:
    ValueError: if the result is neither an array nor a dict.
  """
  if isinstance(result, jax.Array):
    result = {'logits': result}
  if not isinstance(result, dict):
    raise ValueError(
      'network must return an array or a dict of arrays, got '
      f'{type(result).__name__}.'
    )
  return {**taps, **result}
