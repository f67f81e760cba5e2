"""Channel-wise distillation: each channel as a distribution over positions."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.feature import maps
from kdjax.losses.response.soft_targets import soft_target_loss


@contract.promises('example', temperature=contract.each(contract.POSITIVE))
def channel_wise_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  temperature: chex.Numeric = 4.0,
) -> jax.Array:
  """Divergence of the channels' softmax over positions, mean over channels.

  `T^2 / C sum_c KL(softmax_hw(t_c / T) || softmax_hw(s_c / T))` (CWD), for
  dense predictions: class maps (weight 3) or features (weight 50). The default
  temperature is the paper's; mmrazor's is 1, with weight 5.

  Time and memory `O(N H W C)`.

  >>> teacher = jnp.log(jnp.array([3.0, 1.0])).reshape(1, 1, 2, 1)
  >>> loss = channel_wise_loss(jnp.zeros_like(teacher), teacher, temperature=1)
  >>> print(f'{loss[0]:.4f}')
  0.1308

  Args:
    student: Shape `[batch, height, width, channels]`; features pass a 1x1
      convolution where the channels differ.
    teacher: Same shape as `student`.
    temperature: Softens both distributions; higher is softer. Above 0.

  Returns:
    Loss per example, shape `[batch]`, float32 at least; 0 for maps of 1 x 1.
    Invariant to a constant added to any channel of either map.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Shu et al., `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_, 2021, section 3.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape([student, teacher])
  divergence = soft_target_loss(
    maps.channel_vectors(student),
    maps.channel_vectors(teacher),
    temperature=temperature,
  )
  return jnp.mean(divergence, axis=-1)
