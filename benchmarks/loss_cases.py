"""Shapes at which the losses are costed: one case for each exported loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax import losses

BATCH = 64
CLASSES = 100
DIM = 128
SIDE = 8
# Of a student's and a teacher's map where they may differ; else both have the
# teacher's.
STUDENT_CHANNELS, TEACHER_CHANNELS = 32, 64
TOKENS = 65
HEADS = 4
NEGATIVES = 1024
EXAMPLES = 50_000
VOCABULARY = 1000
BEST = 8

SIZES = (
  f'{CLASSES} classes, embeddings of {DIM}, maps of {SIDE} x {SIDE} with '
  f'{TEACHER_CHANNELS} channels ({STUDENT_CHANNELS} of the student where they '
  f'may differ), {TOKENS} tokens of {DIM} with {HEADS} heads, {NEGATIVES} '
  f'negatives of {EXAMPLES} examples, a vocabulary of {VOCABULARY} in chunks '
  f'of 16 tokens, the {BEST} best classes or as many drawn'
)

Shape = jax.ShapeDtypeStruct


class Case(NamedTuple):
  """How a loss is called.

  Attributes:
    arguments: From the number of examples to shapes of the positional
      arguments.
    keywords: Hyperparameters that have no default.
    trained: Places of the arguments that training needs the gradient of.
  """

  arguments: Callable[[int], tuple[Any, ...]]
  keywords: Mapping[str, Any] = {}
  trained: tuple[int, ...] = (0,)


def _floats(*shape: int) -> Shape:
  return Shape(shape, jnp.float32)


def _labels(batch: int) -> Shape:
  return Shape((batch,), jnp.int32)


def _alike(*shape: int, times: int = 2) -> Callable[[int], tuple[Any, ...]]:
  """As many arguments of one shape, the batch before it."""
  return lambda batch: (_floats(batch, *shape),) * times


def _maps(batch: int) -> tuple[Shape, Shape]:
  """The student's and the teacher's map, with channels of their own."""
  return (
    _floats(batch, SIDE, SIDE, STUDENT_CHANNELS),
    _floats(batch, SIDE, SIDE, TEACHER_CHANNELS),
  )


def _two_layers(batch: int) -> tuple[tuple[Shape, Shape], ...]:
  return tuple((tap, tap) for tap in _maps(batch))


def _graph(batch: int) -> tuple[Any, ...]:
  return (*_LOGITS(batch), *_two_layers(batch))


def _contrast(batch: int) -> tuple[Any, ...]:
  memory = jax.eval_shape(
    lambda: losses.init_contrast_memory(jax.random.key(0), EXAMPLES, DIM)
  )
  chosen = Shape((batch, 1 + NEGATIVES), jnp.int32)
  return (*_EMBEDDINGS(batch), memory, _labels(batch), chosen)


def _attention(batch: int) -> tuple[tuple[Shape, ...], ...]:
  """Queries, keys and values of the student and of the teacher."""
  return ((_floats(batch, TOKENS, DIM),) * 3,) * 2


_LOGITS = _alike(CLASSES)
_EMBEDDINGS = _alike(DIM)
_EQUAL_MAPS = _alike(SIDE, SIDE, TEACHER_CHANNELS)
_VECTORS = _alike(TOKENS, DIM)
_SCORES = _alike(HEADS, TOKENS, TOKENS)


def _labelled(batch: int) -> tuple[Shape, ...]:
  return (*_LOGITS(batch), _labels(batch))


def _teacher_free(batch: int) -> tuple[Shape, ...]:
  return (_floats(batch, CLASSES), _labels(batch))


def _with_channels(batch: int) -> tuple[Shape, ...]:
  """Maps, and one number for each channel."""
  return (*_EQUAL_MAPS(batch), _floats(TEACHER_CHANNELS))


def _with_hidden(batch: int) -> tuple[Shape, ...]:
  return (*_VECTORS(batch), Shape((batch, TOKENS), jnp.bool_))


def _heads(batch: int) -> tuple[Shape, ...]:
  """Hidden states and heads of student and teacher."""
  return (_floats(batch, DIM), _floats(DIM, VOCABULARY)) * 2


def _targets(batch: int) -> tuple[Shape, Shape]:
  """The teacher's classes and their log probabilities, or weights."""
  return Shape((batch, BEST), jnp.int32), _floats(batch, BEST)


def _top_k(batch: int) -> tuple[Shape, ...]:
  return (_floats(batch, CLASSES), *_targets(batch))


def _cached(batch: int) -> tuple[Shape, ...]:
  return (*_heads(batch)[:2], *_targets(batch))


# Tokens are many more than these examples; so are chunks of them.
_IN_CHUNKS = {'chunk': 16}

# Has no default.
_HALF_WAY = {'progress': 0.5}

CASES: dict[str, Case] = {
  # response
  'adaptive_kl_loss': Case(_LOGITS),
  'alpha_beta_loss': Case(_LOGITS),
  'decoupled_loss': Case(_labelled),
  'dense_soft_target_loss': Case(_alike(SIDE, SIDE, CLASSES)),
  'dist_loss': Case(_LOGITS),
  'forward_kl_loss': Case(_LOGITS),
  'generalised_jensen_shannon_loss': Case(_LOGITS),
  'interpolated_target_loss': Case(_LOGITS, _HALF_WAY),
  'label_smoothing_loss': Case(_teacher_free),
  'linear_adaptive_kl_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_alpha_beta_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_forward_kl_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_generalised_jensen_shannon_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_interpolated_target_loss': Case(
    _heads, _IN_CHUNKS | _HALF_WAY, (0, 1)
  ),
  'linear_reverse_kl_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_sampled_soft_target_loss': Case(_cached, _IN_CHUNKS, (0, 1)),
  'linear_skew_kl_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_skew_reverse_kl_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_soft_target_loss': Case(_heads, _IN_CHUNKS, (0, 1)),
  'linear_top_k_soft_target_loss': Case(_cached, _IN_CHUNKS, (0, 1)),
  'multi_label_soft_target_loss': Case(_LOGITS),
  'normalised_loss': Case(_labelled),
  'reverse_kl_loss': Case(_LOGITS),
  'sampled_soft_target_loss': Case(_top_k),
  'skew_kl_loss': Case(_LOGITS),
  'skew_reverse_kl_loss': Case(_LOGITS),
  'soft_target_loss': Case(_LOGITS),
  'standardised_soft_target_loss': Case(_LOGITS),
  'streamlined_direction_loss': Case(_LOGITS),
  'teacher_free_loss': Case(_teacher_free),
  'top_k_soft_target_loss': Case(_top_k),
  'weighted_soft_label_loss': Case(_labelled),
  # feature
  'activation_boundary_loss': Case(_EQUAL_MAPS),
  'attention_distribution_loss': Case(_SCORES),
  'attention_matrix_loss': Case(_SCORES),
  'attention_transfer_loss': Case(_maps),
  'channel_wise_loss': Case(_EQUAL_MAPS),
  'factor_transfer_loss': Case(_EQUAL_MAPS),
  'fsp_loss': Case(lambda batch: (_EQUAL_MAPS(batch),) * 2),
  'gaussian_neuron_selectivity_loss': Case(_maps),
  'hierarchical_context_loss': Case(_EQUAL_MAPS),
  'hint_loss': Case(_EQUAL_MAPS),
  'inter_channel_loss': Case(_EQUAL_MAPS),
  'linear_neuron_selectivity_loss': Case(_maps),
  'masked_generative_loss': Case(_EQUAL_MAPS),
  'minilm_loss': Case(_attention, {'heads': HEADS}),
  'minilmv2_loss': Case(_attention, {'relation_heads': HEADS}),
  'overhaul_loss': Case(_with_channels),
  'pearson_feature_loss': Case(_EQUAL_MAPS),
  'polynomial_neuron_selectivity_loss': Case(_maps),
  'self_attention_relation_loss': Case(_VECTORS, {'relation_heads': HEADS}),
  'simkd_loss': Case(_EQUAL_MAPS),
  'variational_information_loss': Case(_with_channels, trained=(0, 2)),
  'vitkd_generation_loss': Case(_with_hidden),
  'vitkd_mimicking_loss': Case(_VECTORS),
  # relation
  'contrastive_representation_loss': Case(_contrast, trained=(0, 1)),
  'correlation_congruence_loss': Case(_EMBEDDINGS, trained=(0, 1)),
  'in_batch_contrastive_loss': Case(_EMBEDDINGS),
  'instance_edge_loss': Case(_maps),
  'instance_relation_graph_loss': Case(_graph, trained=(0, 2)),
  'instance_transformation_loss': Case(_two_layers),
  'instance_vertex_loss': Case(_LOGITS),
  'kernel_correlation_congruence_loss': Case(_EMBEDDINGS),
  'linear_cka_loss': Case(_EMBEDDINGS),
  'probabilistic_transfer_loss': Case(_EMBEDDINGS),
  'rbf_cka_loss': Case(_EMBEDDINGS),
  'relational_angle_loss': Case(_EMBEDDINGS),
  'relational_distance_loss': Case(_EMBEDDINGS),
  'similarity_preserving_loss': Case(_maps),
}
