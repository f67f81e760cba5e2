"""A model with its head as an output, for losses of large vocabularies."""

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
  """Adds the head to a model's outputs, for `transforms.linear_*`.

  ```python
  student = models.with_head(student, lambda p: p['lm_head']['kernel'])
  ```

  Unread logits are dead code, so the model may still return them.

  Args:
    model: Any model whose outputs have the hidden states before its head.
    kernel: Maps the model's params to the head's kernel, `[dim, vocabulary]`.
      For a tied embedding, the kernel is the transpose of the embedding.
    bias: Maps the params to the bias, `[vocabulary]`; None without a bias.
    soft_cap: Bound of the logits, see `kdjax.losses.LinearHead`.

  Returns:
    A model whose outputs also have `head`, and `head_bias` and `head_soft_cap`
    if they are given.
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
