"""Contrast within the batch: each student finds its own teacher."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.relation import rows


@contract.promises('scalar', temperature=contract.POSITIVE)
def in_batch_contrastive_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  temperature: chex.Numeric = 0.07,
  symmetric: bool = False,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Cross entropy of picking the teacher's embedding of the same example.

  `-mean_i log softmax_j(cos(s_i, t_j) / temperature)_i` (InfoNCE): the
  student's embedding is the query, the teacher's embeddings of the batch are
  the keys. With `symmetric` the mean of that and of the same with the teacher
  as query. Couples the examples of the batch; the number of negatives is the
  size of the (global) batch less one.

  CRD keeps a memory of negatives instead and contrasts each by itself, see
  `contrastive_representation_loss`. CLIP is symmetric with a temperature that
  trains. Time `O(N^2 D)`, memory `O(N^2 + N D)`.

  >>> rows = jnp.eye(2)
  >>> print(f'{in_batch_contrastive_loss(rows, rows, temperature=1.0):.4f}')
  0.3133

  Args:
    student: Embeddings, shape `[batch, dim]`; normalised here.
    teacher: Same shape; normalised here.
    temperature: Divides the cosines. Above 0.
    symmetric: Both directions instead of student to teacher.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar in nats, float32 at least; 0 for one example, `log(batch)` if all
    cosines are equal. Invariant to permutation of the batch, to scale of any
    row, and to one rotation of both sets of embeddings.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    van den Oord et al., `Representation Learning with Contrastive Predictive
    Coding <https://arxiv.org/abs/1807.03748>`_, 2018, equation 4; Radford et
    al., `Learning Transferable Visual Models From Natural Language Supervision
    <https://arxiv.org/abs/2103.00020>`_, 2021, figure 3, for both directions.
  """
  chex.assert_rank([student, teacher], 2)
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  cosines = jnp.matmul(
    rows.unit(rows.flattened(student, valid)),
    rows.unit(rows.flattened(teacher, valid)).T,
    precision=jax.lax.Precision.HIGHEST,
  )
  logits = cosines / temperature
  loss = _pick_own(logits, valid)
  return (loss + _pick_own(logits.T, valid)) / 2 if symmetric else loss


def _pick_own(logits: chex.Array, valid: chex.Array) -> jax.Array:
  """Mean over valid rows of minus the log probability of the diagonal."""
  # Its own column stays open to a padding row, for a finite logarithm.
  keys = valid[None, :] | jnp.eye(valid.shape[0], dtype=bool)
  log_total = jax.nn.logsumexp(jnp.where(keys, logits, -jnp.inf), axis=1)
  losses = log_total - jnp.diagonal(logits)
  total = jnp.sum(jnp.where(valid, losses, 0))
  return total / rows.count(valid, total.dtype)
