"""A student that answers with another network's classifier."""

from collections.abc import Callable

import chex
import jax
from flax import linen as nn

from kdjax.models.model import Batch, Model, ModelVariables, Outputs


def reuse_classifier(
  student: Model,
  projector: nn.Module,
  classifier: Callable[[chex.ArrayTree, jax.Array], jax.Array],
  classifier_params: chex.ArrayTree,
  *,
  tap: str,
) -> Model:
  """Returns a student that answers with the teacher's classifier (SimKD).

  The classifier reads the student's projected features. The outputs are the
  student's outputs, with `projected`, the projector's map, and with the
  classifier's answer as `logits`. The student's own head stays in its
  parameters and is not used.

  Args:
    student: The student.
    projector: Linen module `(map, train=...) -> [batch, h, w, channels]`, for
      instance `kdjax.transforms.connectors.SimKDProjector`. Its parameters
      train with the student's.
    classifier: `(params, features [batch, channels]) -> logits`; the features
      are the globally pooled projection.
    classifier_params: Parameters of the classifier. The state holds them, where
      neither gradients nor weight decay reach them.
    tap: Name of the student's output to project, its last map.

  Returns:
    The model. Its params have the keys `student` and `projector`; its state has
    these keys and `classifier`.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """

  def init(key: chex.PRNGKey, batch: Batch) -> ModelVariables:
    own = student.init(key, batch)  # the student's usual start
    outputs, _ = student.apply(own, batch)
    collections = dict(projector.init(jax.random.fold_in(key, 1), outputs[tap]))
    params = {'student': own.params, 'projector': collections.pop('params', {})}
    state = {
      'student': own.state,
      'projector': collections,
      'classifier': classifier_params,
    }
    return ModelVariables(params, state)

  def apply(
    variables: ModelVariables,
    batch: Batch,
    *,
    train: bool = False,
    key: chex.PRNGKey | None = None,
  ) -> tuple[Outputs, chex.ArrayTree]:
    params, state = variables
    own = ModelVariables(params['student'], state['student'])
    outputs, own_state = student.apply(own, batch, train=train, key=key)
    projected, updates = projector.apply(
      {'params': params['projector'], **state['projector']},
      outputs[tap],
      train=train,
      mutable=list(state['projector']) if train else [],
    )
    features = projected.mean(axis=(1, 2))
    outputs = {
      **outputs,
      'projected': projected,
      'logits': classifier(state['classifier'], features),
    }
    if not train:
      return outputs, state
    return outputs, {
      **state,
      'student': own_state,
      'projector': {**state['projector'], **updates},
    }

  return Model(init, apply, student.note)
