"""Every loss with small arguments: how it is called and what it promises."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kdjax import losses

BATCH = 16
CLASSES = 5
_DIM = 4
_TOKENS = 3
_EXAMPLES = 24


class Case(NamedTuple):
  """How a loss is called.

  Attributes:
    arguments: `(rng, batch) -> positional arguments`, float32 and int32.
    keywords: Hyperparameters that it needs, or that a test should see.
    student: Places of the arguments that a student makes.
    batched: Places of the arguments whose first axis is the batch.
    scalar: Whether it returns a scalar rather than a loss per example.
    classes: Places of the arguments whose last axis is the classes, or the keys
      of attention, which -inf may mask.
    labels: Place of the labels, if any.
    positions: Whether it takes any leading axes, and a mask of their shape.
    rows: Whether it takes a mask of examples.
    numbers: Hyperparameters that may be arrays, with a value of each.
    per_example: Those of `numbers` of which each example may have its own.
  """

  arguments: Callable[[np.random.Generator, int], tuple[Any, ...]]
  keywords: Mapping[str, Any] = {}
  student: tuple[int, ...] = (0,)
  batched: tuple[int, ...] = (0, 1)
  scalar: bool = False
  classes: tuple[int, ...] = ()
  labels: int | None = None
  positions: bool = False
  rows: bool = False
  numbers: Mapping[str, float] = {}
  per_example: tuple[str, ...] = ()


def _normal(rng, *shape):
  return rng.normal(size=shape).astype(np.float32)


def _both(*shape):
  return lambda rng, batch: tuple(_normal(rng, batch, *shape) for _ in 'st')


def _two(student, teacher):
  return lambda rng, batch: (
    _normal(rng, batch, *student),
    _normal(rng, batch, *teacher),
  )


_LOGITS = _both(CLASSES)
_EMBEDDINGS = _two((_DIM,), (6,))
_MAPS = _two((4, 4, 3), (2, 2, 5))
_EQUAL_MAPS = _both(3, 3, 4)


def _labels(rng, batch):
  return rng.integers(0, CLASSES, batch).astype(np.int32)


def _labelled(rng, batch):
  return (*_LOGITS(rng, batch), _labels(rng, batch))


def _student_labelled(rng, batch):
  return _normal(rng, batch, CLASSES), _labels(rng, batch)


def _top_k_targets(rng, batch):
  logits = _normal(rng, batch, CLASSES)
  indices = np.argsort(-logits, axis=1)[:, :3].astype(np.int32)
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  return indices, np.take_along_axis(log_p, indices, 1).astype(np.float32)


def _top_k(rng, batch):
  return (_normal(rng, batch, CLASSES), *_top_k_targets(rng, batch))


def _sampled_targets(rng, batch):
  weights = rng.uniform(0.1, 0.5, size=(batch, 4)).astype(np.float32)
  return rng.integers(0, CLASSES, (batch, 4)).astype(np.int32), weights


def _sampled(rng, batch):
  return (_normal(rng, batch, CLASSES), *_sampled_targets(rng, batch))


def _heads(rng, batch):
  return (
    _normal(rng, batch, _DIM),
    _normal(rng, _DIM, CLASSES),
    _normal(rng, batch, 6),
    _normal(rng, 6, CLASSES),
  )


def _cached(rng, batch):
  return (*_heads(rng, batch)[:2], *_top_k_targets(rng, batch))


def _drawn(rng, batch):
  return (*_heads(rng, batch)[:2], *_sampled_targets(rng, batch))


def _pairs(rng, batch):
  """Two maps of each network."""
  return tuple(
    (_normal(rng, batch, 4, 4, 3), _normal(rng, batch, 2, 2, 5)) for _ in 'st'
  )


def _attention(rng, batch):
  return tuple(
    tuple(_normal(rng, batch, _TOKENS, 4) for _ in 'qkv') for _ in 'st'
  )


def _graph(rng, batch):
  return (*_LOGITS(rng, batch), *_pairs(rng, batch))


def _with_margins(rng, batch):
  return (*_EQUAL_MAPS(rng, batch), -np.abs(_normal(rng, 4)))


def _with_scales(rng, batch):
  return (*_EQUAL_MAPS(rng, batch), _normal(rng, 4))


def _with_hidden(rng, batch):
  hidden = rng.random((batch, _TOKENS)) < 0.5
  return (*_both(_TOKENS, _DIM)(rng, batch), hidden)


def _contrast(rng, batch):
  memory = losses.ContrastMemory(
    _normal(rng, _EXAMPLES, _DIM),
    _normal(rng, _EXAMPLES, _DIM),
    np.float32([0.5, 0.7]),
  )
  index = rng.permutation(_EXAMPLES)[:batch].astype(np.int32)
  others = rng.integers(0, _EXAMPLES, (batch, 2)).astype(np.int32)
  unit = [
    x / np.linalg.norm(x, axis=1, keepdims=True)
    for x in _both(_DIM)(rng, batch)
  ]
  return (*unit, memory, index, np.concatenate([index[:, None], others], 1))


def _response(arguments=_LOGITS, **more) -> Case:
  more = {'classes': (0, 1), 'positions': True} | more
  more.setdefault('numbers', {'temperature': 2.5})
  return Case(arguments, per_example=tuple(more['numbers']), **more)


def _with_labels(numbers, **more) -> Case:
  return _response(
    _labelled, labels=2, batched=(0, 1, 2), numbers=numbers, **more
  )


def _linear(**numbers) -> Case:
  numbers = {'temperature': 2.5} | numbers
  return Case(
    _heads,
    {'chunk': 3},
    student=(0, 1),
    batched=(0, 2),
    scalar=True,
    numbers=numbers,
    per_example=tuple(numbers),
  )


def _coupled(arguments=_EMBEDDINGS, **more) -> Case:
  return Case(arguments, **({'scalar': True, 'rows': True} | more))


CASES: dict[str, Case] = {
  # response
  'soft_target_loss': _response(),
  'hard_target_loss': _response(numbers={}),
  'forward_kl_loss': _response(),
  'reverse_kl_loss': _response(),
  'generalised_jensen_shannon_loss': _response(
    numbers={'beta': 0.3, 'temperature': 2.5}
  ),
  'skew_kl_loss': _response(numbers={'skew': 0.3, 'temperature': 2.5}),
  'skew_reverse_kl_loss': _response(numbers={'skew': 0.3, 'temperature': 2.5}),
  # alpha and beta may be negative; they have tests of their own, and so has
  # the temperature of AKL, on which its constant weights depend.
  'alpha_beta_loss': _response(),
  'total_variation_loss': _response(),
  'interpolated_target_loss': _response(
    keywords={'progress': 0.4}, numbers={'progress': 0.4, 'temperature': 2.5}
  ),
  'adaptive_kl_loss': _response(numbers={'head_share': 0.5}),
  'sampled_soft_target_loss': _response(
    _sampled, batched=(0, 1, 2), classes=(0,)
  ),
  'standardised_soft_target_loss': _response(),
  'multi_label_soft_target_loss': _response(),
  'decoupled_loss': _with_labels(
    {'alpha': 0.7, 'beta': 3.0, 'temperature': 2.5}
  ),
  'normalised_loss': _with_labels({'gamma': 0.7, 'temperature': 2.5}),
  'weighted_soft_label_loss': _with_labels({'temperature': 2.5}),
  'label_smoothing_loss': _response(
    _student_labelled,
    labels=1,
    classes=(0,),
    numbers={'smoothing': 0.2},
  ),
  'teacher_free_loss': _response(
    _student_labelled,
    labels=1,
    classes=(0,),
    numbers={
      'temperature': 2.5,
      'confidence': 0.9,
      'student_temperature': 1.5,
    },
  ),
  'dense_soft_target_loss': Case(
    _both(_TOKENS, CLASSES),
    classes=(0, 1),
    numbers={'temperature': 2.5},
    per_example=('temperature',),
  ),
  'top_k_soft_target_loss': _response(_top_k, batched=(0, 1, 2), classes=(0,)),
  'linear_soft_target_loss': _linear(),
  'linear_forward_kl_loss': _linear(),
  'linear_reverse_kl_loss': _linear(),
  'linear_generalised_jensen_shannon_loss': _linear(beta=0.3),
  'linear_skew_kl_loss': _linear(skew=0.3),
  'linear_skew_reverse_kl_loss': _linear(skew=0.3),
  'linear_alpha_beta_loss': _linear(),
  'linear_interpolated_target_loss': _linear(progress=0.4)._replace(
    keywords={'chunk': 3, 'progress': 0.4}
  ),
  'linear_adaptive_kl_loss': _linear()._replace(
    numbers={'head_share': 0.5}, per_example=('head_share',)
  ),
  'linear_sampled_soft_target_loss': _linear()._replace(
    arguments=_drawn, batched=(0, 2, 3)
  ),
  'linear_top_k_soft_target_loss': _linear()._replace(
    arguments=_cached, batched=(0, 2, 3)
  ),
  'dist_loss': _coupled(
    _LOGITS,
    classes=(0, 1),
    numbers={'inter_weight': 0.7, 'intra_weight': 1.3, 'temperature': 2.5},
  ),
  'streamlined_direction_loss': _coupled(
    _LOGITS, classes=(0, 1), numbers={'tikhonov': 0.5}
  ),
  # feature
  'activation_boundary_loss': Case(_EQUAL_MAPS, numbers={'margin': 0.7}),
  'attention_distribution_loss': Case(
    _both(2, _TOKENS, _TOKENS), classes=(0, 1)
  ),
  'attention_matrix_loss': Case(_both(2, _TOKENS, _TOKENS), classes=(0, 1)),
  'attention_transfer_loss': Case(_MAPS, numbers={'p': 1.5}),
  'channel_wise_loss': Case(
    _EQUAL_MAPS, numbers={'temperature': 2.5}, per_example=('temperature',)
  ),
  'factor_transfer_loss': Case(_EQUAL_MAPS, numbers={'p1': 1.5, 'p2': 2.0}),
  'fsp_loss': Case(_pairs),
  'gaussian_neuron_selectivity_loss': Case(_MAPS, numbers={'variance': 0.4}),
  'hierarchical_context_loss': Case(_EQUAL_MAPS),
  'hint_loss': Case(_EQUAL_MAPS),
  'inter_channel_loss': Case(_EQUAL_MAPS),
  'linear_neuron_selectivity_loss': Case(_MAPS),
  'masked_generative_loss': Case(_EQUAL_MAPS),
  'minilm_loss': Case(_attention, {'heads': 2}),
  'minilmv2_loss': Case(_attention, {'relation_heads': 2}),
  'overhaul_loss': Case(_with_margins),
  'pearson_feature_loss': _coupled(_EQUAL_MAPS),
  'polynomial_neuron_selectivity_loss': Case(_MAPS, numbers={'offset': 0.3}),
  'self_attention_relation_loss': Case(
    _both(_TOKENS, _DIM), {'relation_heads': 2}
  ),
  'simkd_loss': Case(_EQUAL_MAPS),
  'variational_information_loss': Case(
    _with_scales, student=(0, 2), numbers={'eps': 1e-3}
  ),
  'vitkd_generation_loss': Case(
    _with_hidden, batched=(0, 1, 2), numbers={'ratio': 0.4}
  ),
  'vitkd_mimicking_loss': Case(_both(_TOKENS, _DIM)),
  # relation
  'contrastive_representation_loss': _coupled(
    _contrast,
    student=(0,),
    batched=(0, 1, 3, 4),
    numbers={'temperature': 0.3, 'momentum': 0.4},
  ),
  'correlation_congruence_loss': _coupled(_both(_DIM)),
  'in_batch_contrastive_loss': _coupled(
    _both(_DIM), numbers={'temperature': 0.3}
  ),
  'instance_edge_loss': _coupled(_MAPS),
  'instance_relation_graph_loss': _coupled(
    _graph,
    student=(0, 2),
    batched=(0, 1, 2, 3),
    numbers={
      'vertex_weight': 0.3,
      'edge_weight': 2.0,
      'transformation_weight': 3.0,
    },
  ),
  'instance_transformation_loss': _coupled(_pairs),
  'instance_vertex_loss': _coupled(_LOGITS),
  'kernel_correlation_congruence_loss': _coupled(numbers={'gamma': 0.3}),
  'linear_cka_loss': _coupled(),
  'probabilistic_transfer_loss': _coupled(),
  'rbf_cka_loss': _coupled(numbers={'bandwidth': 0.8}),
  'relational_angle_loss': _coupled(),
  'relational_distance_loss': _coupled(),
  'similarity_preserving_loss': _coupled(_MAPS),
}


def draw(name: str, *, seed: int = 0, batch: int = BATCH) -> tuple[Any, ...]:
  """Positional arguments of a loss."""
  return CASES[name].arguments(np.random.default_rng(seed), batch)


def value(name: str, *arguments: Any, **keywords: Any):
  """A scalar: the loss, or its mean; of CRD without its new memory."""
  result = getattr(losses, name)(
    *arguments, **(dict(CASES[name].keywords) | keywords)
  )
  return (result[0] if isinstance(result, tuple) else result).mean()
