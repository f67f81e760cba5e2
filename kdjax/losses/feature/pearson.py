"""Pearson features: correlation of channels over the batch and positions."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics

# Added to the standard deviation, as in the authors' code.
_EPSILON = 1e-6


@contract.promises('scalar')
def pearson_feature_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Half the squared distance of standardised channels (PKD).

  Each channel is shifted and scaled to mean 0 and variance 1 over the batch
  and the positions (unbiased, plus 1e-6), then `mean (s - t)^2 / 2` over all
  elements. Up to that epsilon it is `(n - 1) / n (1 - r)`, with `r` the mean
  correlation of the channels over `n` values. Couples the examples of the
  batch.

  A student of another size is resized bilinearly to the teacher's. Time and
  memory `O(N H W C)`.

  >>> student = jnp.array([0.0, 1.0, 2.0, 3.0]).reshape(2, 1, 2, 1)
  >>> print(f'{pearson_feature_loss(student, -student):.4f}')
  1.5000

  Args:
    student: Shape `[batch, height, width, channels]`.
    teacher: Shape `[batch, height', width', channels]`.
    mask: Shape `[batch]`, zero for padding, or None. Padding rows are as if
      absent.

  Returns:
    A scalar, float32 at least; 0 where there is one value per channel.
    Invariant to shifts and positive scales of any channel, up to the epsilon.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Cao et al., `PKD: General Distillation Framework for Object Detectors via
    Pearson Correlation Coefficient <https://arxiv.org/abs/2207.02039>`_, 2022,
    section 3.
  """
  chex.assert_rank([student, teacher], 4)
  chex.assert_equal_shape_prefix([student, teacher], 1)
  chex.assert_equal_shape_suffix([student, teacher], 1)
  chex.assert_type([student, teacher], float)
  valid = numerics.valid_rows(student, mask)
  student = numerics.at_least_float32(student)
  if student.shape != teacher.shape:
    student = jax.image.resize(
      student, teacher.shape, 'bilinear', antialias=False
    )
  difference = _standardised(student, valid) - _standardised(teacher, valid)
  count = jnp.maximum(jnp.sum(valid), 1).astype(difference.dtype)
  elements_each = difference.size // difference.shape[0]
  return jnp.sum(jnp.square(difference)) / (2 * elements_each * count)


def _standardised(x: chex.Array, valid: chex.Array) -> jax.Array:
  """Channels with mean 0, variance 1; padding rows become zero."""
  x = numerics.at_least_float32(x)
  keep = valid[:, None, None, None]
  positions = x.shape[1] * x.shape[2]
  count = jnp.maximum(jnp.sum(valid) * positions, 1).astype(x.dtype)

  def centred(x):
    # Not times a mask: padding may hold NaN, and 0 * NaN is NaN.
    mean = jnp.sum(jnp.where(keep, x, 0), axis=(0, 1, 2), keepdims=True) / count
    return jnp.where(keep, x - mean, 0)

  # Twice: of a constant channel the first pass leaves the rounding error of
  # its mean, which is not small beside the epsilon.
  x = centred(centred(x))
  squares = jnp.sum(jnp.square(x), axis=(0, 1, 2), keepdims=True)
  deviation = numerics.safe_sqrt(squares / jnp.maximum(count - 1, 1))
  return x / (deviation + _EPSILON)
