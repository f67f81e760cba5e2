"""Instance relationship graphs: vertices, edges and how layers transform them.

The paper's code is for Caffe; the default weights are those of the one PyTorch
form in use (Knowledge-Distillation-Zoo). What they differ in is in the
docstrings.
"""

import itertools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows


@contract.promises('scalar')
def instance_vertex_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Mean squared difference of instance features, e.g. of logits (IRG).

  Time and memory `O(N D)`.

  >>> print(instance_vertex_loss(jnp.zeros((2, 3)), 2 * jnp.ones((2, 3))))
  4.0

  Args:
    student: Features, shape `[batch, ...]`.
    teacher: Same shape.
    mask: Shape `[batch]`, zero for padding, or None.

  Returns:
    A scalar, float32 at least: the mean over valid rows and all features.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., `Knowledge Distillation via Instance Relationship Graph
    <https://doi.org/10.1109/CVPR.2019.00726>`_, 2019, section 3.
  """
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  x, y = rows.flattened(student, valid), rows.flattened(teacher, valid)
  total = jnp.sum(jnp.mean(jnp.square(x - y), axis=1))
  return total / rows.count(valid, total.dtype)


@contract.promises('scalar')
def instance_edge_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Mean squared difference of the adjacency matrices of a layer (IRG).

  `1 / N**2 * |A_s - A_t|_F**2`, where `A_ij` is `|x_i - x_j|**2` over the
  largest of the batch. Couples the examples of the batch.

  The gradient flows through the largest distance, as in the PyTorch form; the
  paper's Caffe layer takes it for a constant, has half of the rest of the
  gradient (of `A_ij` and `A_ji` it counts one), and a loss of
  `1 / (2 N) |A_s - A_t|_F**2`. Time `O(N^2 D)`, memory `O(N^2 + N D)`.

  >>> student = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> teacher = jnp.array([[0.0], [1.0], [2.0]])
  >>> print(f'{instance_edge_loss(student, teacher):.4f}')
  0.1944

  Args:
    student: Features of a layer, shape `[batch, ...]`; flattened here. (The
      paper's code pools maps over positions first.)
    teacher: Features, shape `[batch, ...]`; need not be of the same size.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch and to rotation, translation and scale of either set of features.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., 2019, section 3, see `instance_vertex_loss`.
  """
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  difference = _adjacency(student, valid) - _adjacency(teacher, valid)
  total = jnp.sum(jnp.square(difference))
  return total / rows.count(valid, total.dtype) ** 2


@contract.promises('scalar')
def instance_transformation_loss(
  student: tuple[chex.Array, chex.Array],
  teacher: tuple[chex.Array, chex.Array],
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Mean squared difference of how far two layers move each instance (IRG).

  `1 / N * |e_s - e_t|**2`, where `e_i` is `|f(x_i) - g(x_i)|**2` over the
  largest of the batch, and `f` and `g` are an earlier and a later layer, each
  averaged over positions; the channels of the wider one are averaged in groups
  down to the number of the narrower. Couples the examples of the batch.

  The paper's code averages over all positions too and takes layers of equal
  width; the PyTorch form averages the earlier map to the size of the later one
  and halves the later's channels. The gradient flows through the largest, as in
  the latter. Time and memory `O(N H W C)`.

  >>> early, late = jnp.zeros((2, 1)), jnp.array([[1.0], [3.0]])
  >>> loss = instance_transformation_loss((early, late), (early, early + 1))
  >>> print(f'{loss:.4f}')
  0.3951

  Args:
    student: Features of an earlier and a later layer, each of shape
      `[batch, ..., channels]` (NHWC maps, tokens or embeddings).
    teacher: Likewise; need not be of the same sizes.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 for one example. Invariant to permutation of
    the batch and to scale of either network's features.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., 2019, section 3, see `instance_vertex_loss`.
  """
  chex.assert_equal_shape_prefix([*student, *teacher], 1)
  chex.assert_type([*student, *teacher], float)
  valid = numerics.valid_rows(student[0], mask)
  difference = _movement(*student, valid) - _movement(*teacher, valid)
  total = jnp.sum(jnp.square(difference))
  return total / rows.count(valid, total.dtype)


@contract.promises(
  'scalar',
  vertex_weight=contract.NOT_NEGATIVE,
  edge_weight=contract.NOT_NEGATIVE,
  transformation_weight=contract.NOT_NEGATIVE,
)
def instance_relation_graph_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  student_layers: Sequence[chex.Array],
  teacher_layers: Sequence[chex.Array],
  *,
  vertex_weight: chex.Numeric = 0.1,
  edge_weight: chex.Numeric = 5.0,
  transformation_weight: chex.Numeric = 5.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Vertices, edges and transformations of instance relationship graphs (IRG).

  The weighted sum of `instance_vertex_loss` of the logits, the mean
  `instance_edge_loss` of the layers, and the mean
  `instance_transformation_loss` of each layer and the next. Couples the
  examples of the batch.

  The weights are the PyTorch form's, which has two maps and the pooled features
  as layers and the transformation between the maps only. The paper's Caffe
  files weigh each edge and transformation term 0.005 beside sums where there
  are means here: `0.0025 * batch` in these terms, 0.16 for its batch of 64.
  Time `O(N^2 D)`, memory `O(N^2 + N D)`.

  >>> logits, layer = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [2.0]])
  >>> loss = instance_relation_graph_loss(logits, -logits, [layer], [-layer])
  >>> print(f'{loss:.4f}')
  0.8000

  Args:
    student_logits: Shape `[batch, classes]`.
    teacher_logits: Same shape.
    student_layers: One layer or more in the network's order, each of shape
      `[batch, ..., channels]`.
    teacher_layers: As many; need not be of the same sizes.
    vertex_weight: Weight of the vertices.
    edge_weight: Weight of the edges.
    transformation_weight: Weight of the transformations.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Liu et al., 2019, section 3, see `instance_vertex_loss`.
  """
  chex.assert_equal(len(student_layers), len(teacher_layers))
  layers = list(zip(student_layers, teacher_layers, strict=True))
  vertices = instance_vertex_loss(student_logits, teacher_logits, mask=mask)
  edges = [instance_edge_loss(s, t, mask=mask) for s, t in layers]
  transformations = [
    instance_transformation_loss((s, s_next), (t, t_next), mask=mask)
    for (s, t), (s_next, t_next) in itertools.pairwise(layers)
  ]
  total = vertex_weight * vertices
  for weight, terms in (
    (edge_weight, edges),
    (transformation_weight, transformations),
  ):
    total += weight * sum(terms) / max(len(terms), 1)
  return total


def _adjacency(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Squared distances of all pairs over the largest; 0 for padding."""
  x = numerics.centred(rows.flattened(x, valid), valid)
  squared = numerics.squared_distances(numerics.gram(rows.scaled(x)))
  squared = jnp.where(valid[:, None] & valid[None, :], squared, 0)
  return numerics.safe_divide(squared, jnp.max(squared))


def _movement(
  earlier: chex.Array, later: chex.Array, valid: chex.Array
) -> jax.Array:
  """Squared distance between two layers over the largest; 0 for padding."""
  earlier, later = _pooled(earlier, valid), _pooled(later, valid)
  channels = min(earlier.shape[1], later.shape[1])
  moved = _narrowed(earlier, channels) - _narrowed(later, channels)
  squared = jnp.sum(jnp.square(rows.scaled(moved)), axis=1)
  return numerics.safe_divide(squared, jnp.max(squared))


def _pooled(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Mean over positions, `[batch, ..., channels] -> [batch, channels]`."""
  channels = x.shape[-1]
  x = rows.flattened(x, valid)
  x = x.reshape(x.shape[0], x.shape[1] // channels, channels)
  return jnp.mean(x, axis=1)


def _narrowed(x: chex.Array, channels: int) -> jax.Array:
  """Means of `channels` groups of neighbouring channels, equal but for one."""
  width = x.shape[1]
  bounds = [i * width // channels for i in range(channels + 1)]
  groups = [jnp.mean(x[:, a:b], axis=1) for a, b in itertools.pairwise(bounds)]
  return jnp.stack(groups, axis=1)
