"""The overhaul of feature distillation: margin ReLU and partial distance."""

import chex
import jax
import jax.numpy as jnp
import jax.scipy.stats.norm as normal

from kdjax.losses import contract, numerics
from kdjax.losses.feature import maps

# Channels that are negative less often than this get the authors' margin of
# three deviations: the quotient of two vanishing numbers is no estimate.
_RARELY_NEGATIVE = 1e-3
# Beyond so many deviations from zero a channel is always, or never, negative,
# in double precision too.
_MOST_DEVIATIONS = 10


@contract.promises('example')
def overhaul_loss(
  student: chex.Array, teacher: chex.Array, margin: chex.Array
) -> jax.Array:
  """Partial squared distance to the teacher's margin ReLU (OFD).

  With `t = max(teacher, margin)`, the sum over neurons of `(s - t)^2`, except
  where the teacher is silent and the student below it (`s <= t <= 0`), which
  costs nothing. Both are PRE-activations (after batch norm, before ReLU); the
  student's have passed its connector (1x1 convolution and batch norm).

  The authors' code and mdistiller weigh layer `i` of `n` by `2^(i-n+1)` and
  their sum by 1e-3 on CIFAR; those weights are left to the caller. Where the
  sizes differ the larger map is average-pooled (mdistiller brings the teacher
  to the student's size). mmrazor leaves the margin out of the loss, and
  divides by 1000.

  Time and memory `O(N H W C)`.

  >>> student = jnp.array([1.0, -2.0]).reshape(1, 1, 1, 2)
  >>> teacher = jnp.array([3.0, -1.0]).reshape(1, 1, 1, 2)
  >>> print(overhaul_loss(student, teacher, jnp.array([-0.5, -0.5])))
  [4.]

  Args:
    student: Pre-activations, shape `[batch, height, width, channels]`.
    teacher: Shape `[batch, height', width', channels]`.
    margin: Shape `[channels]`, not positive, see `overhaul_margin`.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Zero where the student
    equals the teacher's margin ReLU.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Heo et al., `A Comprehensive Overhaul of Feature Distillation
    <https://arxiv.org/abs/1904.01866>`_, 2019, section 3.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_equal_shape_suffix([student, teacher, margin], 1)
  chex.assert_type([student, teacher, margin], float)
  student, teacher = maps.to_common_size(
    numerics.at_least_float32(student), numerics.at_least_float32(teacher)
  )
  margin = jnp.asarray(margin, teacher.dtype).reshape(1, 1, 1, -1)
  target = jnp.maximum(teacher, margin)
  counts = (student > target) | (target > 0)
  # The difference is selected, not its square: what does not count has a
  # gradient of zero even where the square would overflow.
  difference = jnp.where(counts, student - target, 0)
  # -inf or NaN would count as silent: a divergence must show.
  difference = jnp.where(jnp.isfinite(student), difference, jnp.nan)
  return jnp.sum(jnp.square(difference), axis=(1, 2, 3))


@contract.promises('example')
def overhaul_margin(scale: chex.Array, bias: chex.Array) -> jax.Array:
  """Mean of a batch norm's negative outputs, channel by channel.

  `E[x | x < 0] = m - s phi(m / s) / Phi(-m / s)` for `x ~ N(m, s^2)`, with the
  batch norm's parameters `s = |scale|` and `m = bias`. As in the authors' code,
  channels that are negative with a probability below 0.001 get `-3 s`.

  >>> print(f'{overhaul_margin(jnp.ones(1), jnp.zeros(1))[0]:.4f}')
  -0.7979

  Args:
    scale: Scale (gamma) of the teacher's batch norm before the ReLU, shape
      `[channels]`.
    bias: Its bias (beta), same shape.

  Returns:
    Margins, shape `[channels]`, float32 at least, not positive; finite for any
    ratio. A channel of scale 0 gets `min(bias, 0)`.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Heo et al., `A Comprehensive Overhaul of Feature Distillation
    <https://arxiv.org/abs/1904.01866>`_, 2019, section 3, and its code.
  """
  chex.assert_equal_shape([scale, bias])
  chex.assert_type([scale, bias], float)
  deviation = jnp.abs(numerics.at_least_float32(scale))
  mean = numerics.at_least_float32(bias)
  near = jnp.abs(mean) < _MOST_DEVIATIONS * deviation
  # Double where: far ratios overflow, and their closed form is 0 / 0.
  ratio = jnp.where(near, mean, 0) / jnp.where(near, deviation, 1)
  probability = normal.cdf(-ratio)
  closed_form = mean - deviation * normal.pdf(ratio) / probability
  margin = jnp.where(mean < 0, mean, -3 * deviation)
  return jnp.where(near & (probability > _RARELY_NEGATIVE), closed_form, margin)
