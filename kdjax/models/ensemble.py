"""Several trained networks as one network."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from kdjax.models.model import Batch, Model, ModelVariables, Outputs
from kdjax.models.network import Network


def ensemble(
  networks: Sequence[Network], *, of_logits: bool = False
) -> Network:
  """Returns one network with the mean answer; see `ensemble_model`.

  Args:
    networks: At least one network, all with the same classes; each may read
      other inputs of the batch.
    of_logits: Whether to average logits instead of probabilities.

  Returns:
    A network without measures.

  Raises:
    ValueError: if there is no network.
  """
  models = [network.model for network in networks]
  model = ensemble_model(models, of_logits=of_logits)
  members = [network.variables for network in networks]
  return Network(model, _together(models, members))


def ensemble_model(
  models: Sequence[Model], *, of_logits: bool = False
) -> Model:
  """Returns a model whose answer is the mean answer of several models.

  If all members are the same model, one vmapped pass runs them. Other members
  run side by side in the same program; convolutional members do so too, because
  vmapped convolutions are slow. The only output is `logits`, because features
  of several networks have no common mean.

  Args:
    models: At least one model, all with the same classes.
    of_logits: Whether to average logits. By default the probabilities are
      averaged, and the logits are the logarithm of the mean.

  Returns:
    The model. `model` in its note counts the members. Its variables are the
    members' variables, stacked if all members are the same model, otherwise in
    tuples. The model does not train.

  Raises:
    ValueError: if there is no model; when called, if `train` is set.

  References:
    Hinton et al., `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, 2015, section 2.
  """
  if not models:
    raise ValueError('models must hold at least one model, got none.')
  count = len(models)

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    keys = jax.random.split(key, count)
    return _together(
      models,
      [model.init(k, batch) for model, k in zip(models, keys, strict=True)],
    )

  def apply(
    variables: ModelVariables,
    batch: Batch,
    *,
    train: bool = False,
    key: chex.PRNGKey | None = None,
  ) -> tuple[Outputs, chex.ArrayTree]:
    if train:
      raise ValueError('train must be False: an ensemble does not train.')
    del key
    logits = _answers(models, variables, batch)
    if of_logits:
      return {'logits': logits.mean(axis=0)}, variables.state
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    mean = jax.nn.logsumexp(log_probs, axis=0) - jnp.log(jnp.float32(count))
    return {'logits': mean}, variables.state

  names = '+'.join(dict.fromkeys(model.name for model in models))
  note = {'model': f'{count} x {names}', 'of_logits': of_logits}
  return Model(init, apply, note)


def _alike(models: Sequence[Model]) -> bool:
  """Returns whether all models are the same, so variables can be stacked."""
  return all(model == models[0] for model in models)


def _together(
  models: Sequence[Model], members: Sequence[ModelVariables]
) -> ModelVariables:
  if _alike(models):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
  params, state = zip(*members, strict=True)
  return ModelVariables(params, state)


def _answers(
  models: Sequence[Model], variables: ModelVariables, batch: Batch
) -> jax.Array:
  """Returns the logits of all members, float32 `[members, batch, classes]`."""

  def answer(model: Model, own: ModelVariables) -> jax.Array:
    return model.apply(own, batch)[0]['logits'].astype(jnp.float32)

  alike = _alike(models)
  kernels = any(leaf.ndim == 5 for leaf in jax.tree.leaves(variables))
  if alike and not kernels:
    return jax.vmap(lambda own: answer(models[0], own))(variables)
  if alike:
    members = [
      jax.tree.map(lambda leaf, i=i: leaf[i], variables)
      for i in range(len(models))
    ]
  else:
    members = [ModelVariables(*one) for one in zip(*variables, strict=True)]
  answers = [answer(m, own) for m, own in zip(models, members, strict=True)]
  return jnp.stack(answers)
