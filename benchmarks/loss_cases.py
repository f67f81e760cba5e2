"""Shapes at which the losses are costed: one case for each exported loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax import losses
from kdjax.transforms import bound

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


def _with_channels(batch: int) -> tuple[Shape, ...]:
  """Maps, and one number for each channel."""
  return (*_EQUAL_MAPS(batch), _floats(TEACHER_CHANNELS))


def _with_hidden(batch: int) -> tuple[Shape, ...]:
  return (*_VECTORS(batch), Shape((batch, TOKENS), jnp.bool_))


# Shapes of arguments whose names tell what they are; `student` and `teacher`
# are embeddings.
_BY_NAME: dict[str, Callable[[int], Shape]] = {
  **dict.fromkeys(
    ('student_logits', 'teacher_logits'), lambda n: _floats(n, CLASSES)
  ),
  'labels': _labels,
  **dict.fromkeys(('student', 'teacher'), lambda n: _floats(n, DIM)),
  **dict.fromkeys(
    ('student_hidden', 'teacher_hidden'), lambda n: _floats(n, DIM)
  ),
  **dict.fromkeys(
    ('student_head', 'teacher_head'), lambda n: _floats(DIM, VOCABULARY)
  ),
  'teacher_indices': lambda n: Shape((n, BEST), jnp.int32),
  **dict.fromkeys(
    ('teacher_log_probs', 'teacher_weights'), lambda n: _floats(n, BEST)
  ),
}
# Tokens are many more than these examples; so are chunks of them. `progress`
# has no default.
_KEYWORDS = {'chunk': 16, 'progress': 0.5}


def _usual(name: str) -> Case:
  """The case of a loss whose arguments' names tell their shapes."""
  loss = getattr(losses, name)
  shapes = [_BY_NAME[argument] for argument in bound.arrays(loss)]
  known = bound.keywords(loss)
  return Case(
    lambda batch: tuple(shape(batch) for shape in shapes),
    {key: value for key, value in _KEYWORDS.items() if key in known},
    (0, 1) if 'student_head' in bound.arrays(loss) else (0,),
  )


_OWN: dict[str, Case] = {
  # response
  'dense_soft_target_loss': Case(_alike(SIDE, SIDE, CLASSES)),
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
  'instance_edge_loss': Case(_maps),
  'instance_relation_graph_loss': Case(_graph, trained=(0, 2)),
  'instance_transformation_loss': Case(_two_layers),
  'instance_vertex_loss': Case(_LOGITS),
  'similarity_preserving_loss': Case(_maps),
}

CASES: dict[str, Case] = {
  name: _OWN.get(name) or _usual(name)
  for name in losses.__all__
  if name.endswith('_loss')
}
