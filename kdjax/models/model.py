"""`Model`, the one view kdjax has of any network, and what can be asked of it.

Every network becomes two pure functions whose outputs are named. `logits` is
the network's answer; every other output is a *tap*, a value computed on the
way, named by its path ('stage2', 'stage2/preactivation', 'embedding'). All
taps are always returned: those that nobody reads are dead code under `jax.jit`
and cost nothing. So jit what reads the outputs, not `apply` alone, which would
have to hand over every one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import chex
import jax

Outputs = dict[str, jax.Array]

# What a source gives of some examples, by name: `image`, `label`, ... .
Batch = Mapping[str, jax.Array]


class ModelVariables(NamedTuple):
  """What a network owns.

  Attributes:
    params: Pytree of arrays that gradient descent trains.
    state: Pytree of arrays that the forward pass updates (batch statistics);
      `{}` where there are none.
  """

  params: chex.ArrayTree
  state: chex.ArrayTree


class Model(NamedTuple):
  """A network as two pure functions.

  Attributes:
    init: `(key, batch) -> ModelVariables`. Needs only shapes and dtypes of the
      batch; may be jitted.
    apply: `(variables, batch, *, train=False, key=None) -> (outputs, state)`.
      The network takes from the batch what it reads: images, or tokens and
      their mask, or the numbers of nodes in a graph.
      `outputs['logits']` of a classifier is `[batch, classes]`, the other
      entries are taps; a network without classes names its answer otherwise.
      `train=True` uses the batch's own statistics and dropout (drawn from
      `key`) and returns the new state; `train=False` returns `state` as it is.
    note: What the network is, as JSON: `model` names the architecture. It is
      saved beside trained variables, so that they can be loaded and trusted.
  """

  init: Callable[[chex.PRNGKey, Batch], ModelVariables]
  apply: Callable[..., tuple[Outputs, chex.ArrayTree]]
  note: Mapping[str, Any] = {}

  @property
  def name(self) -> str:
    """The architecture's name."""
    return self.note.get('model', 'network')


def taps(model: Model, batch: Any) -> dict[str, tuple[int, ...]]:
  """Shapes of everything a model returns, found without computing anything.

  Args:
    model: The model to ask.
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
  """The tap halfway through a network, where FitNets puts hint and guided.

  Args:
    names: Names of outputs, for instance `taps(model, batch)` or the outputs
      themselves. Those of the form `stageN` are considered.

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
  """Joins the taps of a network with what it returned.

  Args:
    taps: Taps by name.
    result: Logits, or a dict of arrays by name: `'logits'` of a classifier,
      any names of other networks.

  Returns:
    The taps and the result in one dict; the result's names win.

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
