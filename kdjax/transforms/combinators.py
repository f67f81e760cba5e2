"""Functions from loss transforms to a loss transform."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax.transforms import base

Weight = float | Callable[[jax.Array], jax.Array]


def weighted_sum(
  **terms: tuple[Weight, base.LossTransform],
) -> base.LossTransform:
  """The sum of named terms, each times its weight.

  ```python
  loss = weighted_sum(
      task=(0.1, labels()),
      soft=(0.9, soft_targets(temperature=4.0)),
      hint=(optax.linear_schedule(100.0, 0.0, 5000), hint(...)),
  )
  ```

  Args:
    **terms: `name=(weight, transform)`. A weight is a number or an optax
      schedule of the step, which receives the step as a float32 scalar.

  Returns:
    A transform whose params, state and keys are held per name, and whose
    metrics hold every term's value, before its weight, under its name.

  Raises:
    ValueError: if there is no term, or a term is not such a pair.
  """
  if not terms:
    raise ValueError('weighted_sum needs at least one term, got none.')
  for name, term in terms.items():
    _check_term(name, term)

  def init(key, student, teacher):
    keys = jax.random.split(key, len(terms))
    parts = {
      name: term.init(part_key, student, teacher)
      for part_key, (name, (_, term)) in zip(keys, terms.items(), strict=True)
    }
    return base.LossVariables(
      {name: part.params for name, part in parts.items()},
      {name: part.state for name, part in parts.items()},
    )

  def apply(variables, student, teacher, batch, step):
    weighted, state, metrics = [], {}, {}
    for name, (weight, term) in terms.items():
      own = base.LossVariables(variables.params[name], variables.state[name])
      value, state[name], inner = term.apply(own, student, teacher, batch, step)
      # optax's schedules mix the count with floats, which strict promotion
      # refuses for an integer.
      factor = weight(step.astype(jnp.float32)) if callable(weight) else weight
      weighted.append(jnp.asarray(factor, value.dtype) * value)
      metrics[name] = value
      metrics |= {f'{name}/{k}': metric for k, metric in inner.items()}
    return sum(weighted[1:], weighted[0]), state, metrics

  return base.LossTransform(init, apply)


def _check_term(name: str, term: Any) -> None:
  match term:
    case (weight, base.LossTransform()) if callable(weight) or isinstance(
      weight, int | float
    ):
      return
  raise ValueError(
    f'weighted_sum takes {name}=(weight, LossTransform) with a number or a '
    f'schedule as weight, got {term!r}.'
  )


def across_devices(
  term: base.LossTransform, axis_name: str = 'batch'
) -> base.LossTransform:
  """Makes a loss that couples examples see the global batch.

  Every device gathers the outputs that the term reads, and computes the loss
  of the global batch: the same value on each. The gradient of that value with
  respect to one device's outputs arrives from every device, so it is the
  number of devices times too large; the mean over the devices, which a data
  parallel step takes of its gradients anyway, makes it right. Value and
  parameter gradients do not depend on the number of devices.

  Args:
    term: Any transform; of use for those that couple the examples.
    axis_name: The axis that `jax.pmap` or `jax.shard_map` maps over. `apply`
      must run inside of it.
  """

  def apply(variables, student, teacher, batch, step):
    return term.apply(
      variables,
      _Gathered(student, axis_name),
      _Gathered(teacher, axis_name),
      _Gathered(batch, axis_name),
      step,
    )

  return base.LossTransform(term.init, apply)


class _Gathered(Mapping):
  """Outputs of all devices; an entry travels only if it is read."""

  def __init__(self, outputs: base.Outputs, axis_name: str):
    self._outputs, self._axis_name = outputs, axis_name

  def __getitem__(self, name: str) -> jax.Array:
    return jax.lax.all_gather(self._outputs[name], self._axis_name, tiled=True)

  def __iter__(self) -> Iterator[str]:
    return iter(self._outputs)

  def __len__(self) -> int:
    return len(self._outputs)
