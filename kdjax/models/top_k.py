"""A network with its best classes among its outputs."""

import chex
import jax
import jax.numpy as jnp

from kdjax.models.model import Batch, Model, Outputs


def with_top_k(model: Model, k: int, *, temperature: float = 1.0) -> Model:
  """Adds a network's `k` best classes to its outputs, for a cache.

  `kdjax.losses.top_k_soft_target_loss` takes the new outputs: `top_k_indices`,
  int32 `[batch, k]`, best first, and `top_k_log_probs`, float32 `[batch, k]`.

  Args:
    model: Any classifier.
    k: Number of best classes, from 1 to the number of classes.
    temperature: Temperature of the log probabilities; above 0.

  Returns:
    The model, with `k` and `temperature` in its note as `top_k`; everything
    else is unchanged.

  Raises:
    ValueError: if `k` or `temperature` is not positive; when called, if `k`
      exceeds the number of classes.
  """
  if k < 1:
    raise ValueError(f'k must be positive, got {k}.')
  if not temperature > 0:
    raise ValueError(f'temperature must be positive, got {temperature}.')

  def apply(
    variables: chex.ArrayTree, batch: Batch, **kwargs
  ) -> tuple[Outputs, chex.ArrayTree]:
    outputs, state = model.apply(variables, batch, **kwargs)
    logits = outputs['logits']
    if k > logits.shape[-1]:
      raise ValueError(
        f'k must be at most the {logits.shape[-1]} classes, got {k}.'
      )
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32) / temperature)
    best, indices = jax.lax.top_k(log_probs, k)
    top_k = {'top_k_indices': indices, 'top_k_log_probs': best}
    return {**outputs, **top_k}, state

  note = {**model.note, 'top_k': {'k': k, 'temperature': temperature}}
  return Model(model.init, apply, note)
