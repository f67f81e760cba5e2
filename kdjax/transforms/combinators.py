"""Functions from loss transforms to a loss transform."""

from typing import Any

import jax
import jax.numpy as jnp

from kdjax.transforms import axes, base, numbers
from kdjax.transforms.numbers import Number


def weighted_sum(
  **terms: tuple[Number, base.LossTransform],
) -> base.LossTransform:
  """The sum of named terms, each times its weight.

  ```python
  loss = weighted_sum(
      task=(0.1, labels()),
      soft=(0.9, soft_targets(temperature=4.0)),
      hint=(optax.linear_schedule(100.0, 0.0, 5000), hint(...)),
  )
  ```

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> loss = weighted_sum(task=(0.1, labels()), soft=(0.9, forward_kl()))
  >>> value(loss, student, teacher, label=jnp.array([0]))
  0.4083

  Args:
    **terms: `name=(weight, transform)`. A weight is a number of Python, NumPy
      or JAX, an optax schedule of the step, which receives the step as a
      float32 scalar, or `learned`.

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
    params, state = {}, {}
    for part_key, (name, (weight, term)) in zip(
      keys, terms.items(), strict=True
    ):
      own = term.init(part_key, student, teacher)
      params[name] = numbers.with_param(weight, own.params)
      state[name] = own.state
    return base.LossVariables(params, state)

  def build(place):
    def apply(variables, student, teacher, batch, step):
      weighted, state, metrics = [], {}, {}
      for name, (weight, term) in terms.items():
        factor, params = numbers.resolved(weight, variables.params[name], step)
        own = base.LossVariables(params, variables.state[name])
        value, state[name], inner = place(term).apply(
          own, student, teacher, batch, jnp.asarray(step)
        )
        weighted.append(jnp.asarray(factor, value.dtype) * value)
        metrics[name] = value
        metrics |= {f'{name}/{k}': metric for k, metric in inner.items()}
      return sum(weighted[1:], weighted[0]), state, metrics

    return apply

  def on_axis(axis_name):
    apply = build(lambda term: axes.on_axis(term, axis_name))
    return axes.on_this_axis(init, apply, axis_name)

  return base.LossTransform(init, build(lambda term: term), on_axis)


def _check_term(name: str, term: Any) -> None:
  match term:
    case (weight, base.LossTransform()) if numbers.is_number(weight):
      return
  raise ValueError(
    f'weighted_sum takes {name}=(weight, LossTransform) with one number, a '
    f'schedule or a learned number as weight, got {term!r}.'
  )
