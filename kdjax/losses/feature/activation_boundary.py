"""Activation boundaries: the student's neurons fire where the teacher's do."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics


@contract.promises('example', margin=contract.NOT_NEGATIVE)
def activation_boundary_loss(
  student: chex.Array,
  teacher: chex.Array,
  *,
  margin: chex.Numeric = 1.0,
) -> jax.Array:
  """Squared hinge of the student's neurons on the side of the teacher's (AB).

  `sum max(0, margin - s)^2` where the teacher's neuron fires (`t > 0`), and
  `sum max(0, margin + s)^2` where it does not, over the neurons. Both are
  PRE-activations; the student's have passed its connector (convolution and
  batch norm, no ReLU).

  The authors' code and the benchmarks multiply by 3/1000, and by `2^(i-n+1)`
  for layer `i` of `n`; those are weights, and left to the caller. The loss is
  used to initialise the student, before the task is trained alone.

  Time and memory `O(N H W C)`.

  >>> student, teacher = jnp.array([[2.0, -0.5]]), jnp.ones((1, 2))
  >>> print(activation_boundary_loss(student, teacher))
  [2.25]

  Args:
    student: Pre-activations, shape `[batch, ...]`.
    teacher: Same shape as `student`.
    margin: How far beyond the boundary the student must be. Not negative.

  Returns:
    Loss per example, shape `[batch]`, float32 at least. Not zero at student =
    teacher, unless every neuron is `margin` away from its boundary. Invariant
    to positive scales of the teacher.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Heo et al., `Knowledge Transfer via Distillation of Activation Boundaries
    Formed by Hidden Neurons <https://arxiv.org/abs/1811.03233>`_, 2019,
    section 3.
  """
  chex.assert_equal_shape([student, teacher])
  chex.assert_type([student, teacher], float)
  student = numerics.at_least_float32(student)
  side = jnp.where(jnp.asarray(teacher) > 0, -student, student)
  squares = jnp.square(jax.nn.relu(margin + side))
  # On the right side inf would cost nothing: a divergence must show.
  squares = jnp.where(jnp.isfinite(student), squares, jnp.nan)
  return jnp.sum(numerics.flat(squares), axis=-1)
