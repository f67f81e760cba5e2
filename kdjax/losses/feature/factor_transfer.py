"""Factor transfer: the student's translation of the teacher's paraphrase."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps


@contract.promises(
  'example', p1=contract.AT_LEAST_ONE, p2=contract.AT_LEAST_ONE
)
def factor_transfer_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  p1: chex.Numeric = 2.0,
  p2: chex.Numeric = 1.0,
  whole_factors: bool = False,
) -> jax.Array:
  """Difference between the normalised factors of student and teacher (FT).

  The factors come from the student's translator and the teacher's paraphraser,
  which trains beforehand as an autoencoder (`hint_loss` of its output).

  By default the benchmarks' form, `mean |q_s - q_t|^p2` over positions, where
  `q` is the map `mean_c |f_c|^p1`, normalised to length 1 (weight 200). With
  `whole_factors` that of the paper and its code: the factors themselves are
  flattened, normalised to length 1 and compared, without `p1` (weight 500).
  The paper's formula is the `p2` norm, so for `p2 = 1` the sum; its code takes
  the mean, as here.

  Time `O(N H W C)`, memory `O(N H W C)`.

  >>> student = jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1)
  >>> loss = factor_transfer_loss(student, student[:, :, ::-1], p1=1)
  >>> print(f'{loss[0]:.4f}')
  0.2000

  Args:
    student: Translated factors, shape `[batch, height, width, channels]`.
    teacher: Paraphrased factors, shape `[batch, height', width', channels']`;
      the larger map is average-pooled to the smaller. The channels must agree
      for `whole_factors` only.
    p1: Power of the activations. At least 1.
    p2: Power of the differences. At least 1.
    whole_factors: Compare every channel, not their mean power.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Invariant to positive
    scales of either factor.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Kim et al., `Paraphrasing Complex Network: Network Compression via Factor
    Transfer <https://arxiv.org/abs/1802.04977>`_, 2018, section 3.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  factors = list(
    maps.to_common_size(
      numerics.at_least_float32(student), numerics.at_least_float32(teacher)
    )
  )
  if whole_factors:
    chex.assert_equal_shape(factors)
  else:
    factors = [jnp.mean(jnp.abs(f) ** p1, axis=-1) for f in factors]
  student, teacher = (maps.unit_vectors(numerics.flat(f)) for f in factors)
  return jnp.mean(jnp.abs(student - teacher) ** p2, axis=-1)
