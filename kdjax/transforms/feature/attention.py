"""Transforms of losses on the self-attention of transformers.

Tokens are never padding here: networks on images have as many in every
example.
"""

from collections.abc import Callable, Sequence

import chex
import jax

from kdjax.losses.feature.attention_matrices import attention_matrix_loss
from kdjax.losses.feature.attention_relations import minilm_loss, minilmv2_loss
from kdjax.transforms import base, stateless
from kdjax.transforms.feature import binding


def self_attention_relations(
  *, student: Sequence[str], teacher: Sequence[str], heads: int
) -> base.LossTransform:
  """`kdjax.losses.minilm_loss` of the last layer (MiniLM).

  Weight 1, alone in the paper.

  >>> names = 'query', 'key', 'value'
  >>> student = dict.fromkeys(names, jnp.eye(2)[None])
  >>> teacher = dict.fromkeys(names, 2 * jnp.eye(2)[None])
  >>> term = self_attention_relations(student=names, teacher=names, heads=1)
  >>> value(term, student, teacher)
  0.45

  Args:
    student: Names of the student's queries, keys and values, each
      `[batch, tokens, dim]` of all heads, concatenated, or
      `[batch, tokens, heads, dim / heads]`.
    teacher: The same of the teacher, with as many tokens.
    heads: Number of attention heads, the same in both networks.

  Raises:
    ValueError: if `heads` is not a positive integer or there are not three
      names each; from `init`, if there is no such tap (lists those there are),
      the shapes do not fit or `heads` does not divide a dimension.
  """
  _check_heads('heads', heads)

  def loss(source, target):
    return minilm_loss(source, target, heads=heads)

  return _relations(loss, student, teacher, 'heads', heads)


def self_attention_relations_v2(
  *,
  student: Sequence[str],
  teacher: Sequence[str],
  relation_heads: int,
  weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> base.LossTransform:
  """`kdjax.losses.minilmv2_loss` of one layer of either network (MiniLMv2).

  Neither the attention heads nor the dimensions need agree. Weight 1, alone in
  the paper, from the last layer of base teachers and an upper middle layer of
  large ones.

  >>> names = 'query', 'key', 'value'
  >>> student = dict.fromkeys(names, jnp.eye(2)[None])
  >>> teacher = dict.fromkeys(names, 2 * jnp.eye(2)[None])
  >>> term = self_attention_relations_v2(
  ...   student=names, teacher=names, relation_heads=1
  ... )
  >>> value(term, student, teacher)
  0.6751

  Args:
    student: Names of the student's queries, keys and values, as for
      `self_attention_relations`.
    teacher: The same of the teacher, with as many tokens.
    relation_heads: Divides both dimensions; 48 for base and 64 for large
      teachers in the paper.
    weights: Of queries, keys and values; not negative.

  Raises:
    ValueError: if a hyperparameter is out of range or there are not three
      names each; from `init`, as `self_attention_relations`.
  """
  _check_heads('relation_heads', relation_heads)
  weights = tuple(weights)
  if len(weights) != 3 or not all(weight >= 0 for weight in weights):
    raise ValueError(
      f'weights must be three numbers, none negative, got {weights}.'
    )

  def loss(source, target):
    return minilmv2_loss(
      source, target, relation_heads=relation_heads, weights=weights
    )

  return _relations(loss, student, teacher, 'relation_heads', relation_heads)


def attention_matrices(
  *, student: binding.Taps, teacher: binding.Taps
) -> base.LossTransform:
  """`kdjax.losses.attention_matrix_loss`, summed over layers (TinyBERT).

  Weight 1; the paper maps the student's layers uniformly to the teacher's.

  >>> term = attention_matrices(student='scores', teacher='scores')
  >>> student = {'scores': jnp.zeros((1, 2, 3, 3))}
  >>> value(term, student, {'scores': jnp.full((1, 2, 3, 3), 0.5)})
  0.25

  Args:
    student: Name of the student's attention scores before the softmax,
      `[batch, heads, tokens, tokens]`, or names of several layers.
    teacher: As many names of the teacher's, with as many heads and tokens.

  Raises:
    ValueError: if the numbers of taps differ; from `init`, if there is no such
      tap (lists those there are) or the shapes differ.
  """
  pairs = binding.pair_names(student, teacher)

  def init(key, student_outputs, teacher_outputs):
    del key
    for s, t in pairs:
      source = binding.example(student_outputs, s, 'student')
      target = binding.example(teacher_outputs, t, 'teacher')
      shapes = source.shape[1:], target.shape[1:]
      binding.check_equal('heads and tokens', *shapes, (s, t))
      if source.ndim != 4:
        raise ValueError(
          f'{s!r} must be scores [batch, heads, tokens, tokens], got one of '
          f'shape {source.shape[1:]} per example.'
        )
    return base.LossVariables()

  def apply(student_outputs, teacher_outputs, batch):
    losses = [
      attention_matrix_loss(
        binding.read(student_outputs, s, batch),
        binding.read(teacher_outputs, t, batch),
      )
      for s, t in pairs
    ]
    return base.batch_mean(sum(losses[1:], losses[0]), batch)

  return stateless.stateless(apply, couples=False, init=init)


def _relations(
  loss: Callable[[list, list], jax.Array],
  student: Sequence[str],
  teacher: Sequence[str],
  argument: str,
  heads: int,
) -> base.LossTransform:
  """A per-example loss of queries, keys and values."""
  pairs = binding.pair_names(student, teacher)
  if len(pairs) != 3:
    raise ValueError(
      'student and teacher must name queries, keys and values, got '
      f'{student!r} and {teacher!r}.'
    )

  def init(key, student_outputs, teacher_outputs):
    del key
    for s, t in pairs:
      source = _joined(binding.example(student_outputs, s, 'student'), s)
      target = _joined(binding.example(teacher_outputs, t, 'teacher'), t)
      binding.check_equal('tokens', source.shape[1], target.shape[1], (s, t))
      for name, tap in ((s, source), (t, target)):
        if tap.shape[2] % heads:
          raise ValueError(
            f'{argument} must divide the {tap.shape[2]} dimensions of '
            f'{name!r}, got {heads}.'
          )
    return base.LossVariables()

  def apply(student_outputs, teacher_outputs, batch):
    sources, targets = (
      [_joined(binding.read(outputs, name, batch), name) for name in names]
      for outputs, names in (
        (student_outputs, [s for s, _ in pairs]),
        (teacher_outputs, [t for _, t in pairs]),
      )
    )
    return base.batch_mean(loss(sources, targets), batch)

  return stateless.stateless(apply, couples=False, init=init)


def _check_heads(argument: str, heads: int) -> None:
  if not isinstance(heads, int) or heads < 1:
    raise ValueError(f'{argument} must be a positive integer, got {heads}.')


def _joined(tap: chex.Array, name: str) -> jax.Array:
  """Vectors of all heads concatenated, `[batch, tokens, dim]`."""
  if tap.ndim not in (3, 4):
    raise ValueError(
      f'{name!r} must be tokens [batch, tokens, dim] or '
      '[batch, tokens, heads, dim / heads], got one of shape '
      f'{tap.shape[1:]} per example.'
    )
  return tap.reshape(*tap.shape[:2], -1)
