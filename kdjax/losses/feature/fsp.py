"""Flow of solution procedure: how features of one layer lead to the next."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises('example')
def fsp_matrix(bottom: chex.Array, top: chex.Array) -> jax.Array:
  """Inner products of the channels of two layers, over positions.

  `G_ij = mean_hw bottom_hwi top_hwj`. The larger map is average-pooled to the
  smaller. (The paper and torchdistill max-pool: pool before, and equal sizes
  are left alone.)

  >>> print(fsp_matrix(jnp.ones((1, 4, 4, 1)), 2 * jnp.ones((1, 2, 2, 3))))
  [[[2. 2. 2.]]]

  Args:
    bottom: Shape `[batch, height, width, bottom_channels]`.
    top: Shape `[batch, height', width', top_channels]`.

  Returns:
    Shape `[batch, bottom_channels, top_channels]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yim et al., `A Gift from Knowledge Distillation
    <https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html>`_,
    2017, equation 1.
  """
  chex.assert_rank([bottom, top], 4)
  chex.assert_equal_shape_prefix([bottom, top], 1)
  chex.assert_type([bottom, top], float)
  bottom, top = maps.to_common_size(
    numerics.at_least_float32(bottom), numerics.at_least_float32(top)
  )
  positions = bottom.shape[1] * bottom.shape[2]
  products = maps.inner_products(
    maps.channel_vectors(bottom), maps.channel_vectors(top)
  )
  return products / positions


@contract.promises('example')
def fsp_loss(
  student: tuple[chex.Array, chex.Array],
  teacher: tuple[chex.Array, chex.Array],
  *,
  summed: bool = False,
) -> jax.Array:
  """Difference between the flow matrices of student and teacher (FSP).

  By default the mean of `(G_s - G_t)^2` over the entries of the matrix, as in
  benchmark code (weight 50). With `summed` their sum, the squared norm of
  equation 2 of the paper. (torchdistill sums the norms of the columns,
  unsquared.)

  Time `O(N C_bottom C_top H W)`, memory `O(N C_bottom C_top)`.

  >>> bottom, top = jnp.ones((1, 4, 4, 1)), jnp.ones((1, 2, 2, 3))
  >>> print(fsp_loss((bottom, top), (bottom, 3 * top)))
  [4.]

  Args:
    student: Feature maps of two layers, `(bottom, top)`, each
      `[batch, height, width, channels]`, see `fsp_matrix`.
    teacher: The same of the teacher: the same channels, any height and width.
    summed: The sum over the entries instead of their mean.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to one
    permutation of the positions of both maps of a pair.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yim et al., `A Gift from Knowledge Distillation
    <https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html>`_,
    2017, equation 2.
  """
  student_matrix, teacher_matrix = fsp_matrix(*student), fsp_matrix(*teacher)
  chex.assert_equal_shape([student_matrix, teacher_matrix])
  squares = jnp.square(student_matrix - teacher_matrix)
  reduce = jnp.sum if summed else jnp.mean
  return reduce(squares, axis=(1, 2))
