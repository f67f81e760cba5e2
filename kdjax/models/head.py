"""A model that hands out its head, for losses of large vocabularies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kdjax.models.model import Batch, Model, ModelVariables


def with_head(
  model: Model,
  kernel: Callable[[Any], jax.Array],
  bias: Callable[[Any], jax.Array] | None = None,
  *,
  soft_cap: float | None = None,
) -> Model:
  """The model with its head among its outputs, as `transforms.linear_*` read.

  ```python
  student = models.with_head(student, lambda p: p['lm_head']['kernel'])
  ```

  Logits that nobody reads are dead code, so the model may go on returning them.

  Args:
    model: Any model whose outputs have the hidden states before its head.
    kernel: From the model's params to the kernel, `[dim, vocabulary]`; the
      transpose of an embedding, where that is tied.
    bias: From the params to the bias, `[vocabulary]`; None for none.
    soft_cap: Bounds the logits, see `kdjax.losses.LinearHead`.

  Returns:
    A model whose outputs also have `head`, and `head_bias` and `head_soft_cap`
    where they are given.
  """

  def apply(variables: ModelVariables, batch: Batch, **options):
    outputs, state = model.apply(variables, batch, **options)
    more = {'head': kernel(variables.params)}
    if bias is not None:
      more['head_bias'] = bias(variables.params)
    if soft_cap is not None:
      more['head_soft_cap'] = jnp.float32(soft_cap)
    return {**outputs, **more}, state

  return Model(model.init, apply, model.note)
