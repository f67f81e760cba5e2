"""Weighted soft labels: soft targets count where the student lags (WSLD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space

# Keeps the ratio finite when the teacher is certain of the label; as in the
# authors' code. The paper has none.
_SMALLEST_CROSS_ENTROPY = 1e-7


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def weighted_soft_label_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 2.0,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Soft cross-entropy, weighted by how far the student lags the teacher.

  `w * t**2 * -sum_k p_k log q_k`, `p = softmax(teacher / t)` and
  `q = softmax(student / t)`, with
  `w = 1 - exp(-CE(student, label) / (CE(teacher, label) + 1e-7))`, both at
  temperature 1. By the authors' definition `w` is a constant: no gradient
  flows through it, to either network.

  A cross-entropy, not a divergence: it is not 0 where student and teacher
  agree. Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> loss = weighted_soft_label_loss(logits[:, ::-1], logits, jnp.array([0]))
  >>> print(f'{loss[0]:.4f}')
  4.1522

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`, or distributions over the classes
      (one-hot, soft, mixed), shape `[..., classes]`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    ignore: A label, such as -100 or 255, of positions that cost nothing; None
      for none. Other labels outside the classes give NaN.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Zhou et al., `Rethinking Soft Labels for Knowledge Distillation: A
    Bias-Variance Tradeoff Perspective <https://arxiv.org/abs/2102.00650>`_,
    2021, section 4. Weight 2.5 beside the cross-entropy on ImageNet.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  contract.check_labels_or_shares(labels, student_logits)
  shape = student_logits.shape[:-1]
  valid = log_space.counted(mask, shape, labels, ignore)
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  # Relative accuracy matters: the ratio may be one of two numbers near 1e-7.
  hard = [
    log_space.label_cross_entropy(x, keep, labels) for x in (student, teacher)
  ]
  ratio = hard[0] / (hard[1] + _SMALLEST_CROSS_ENTROPY)
  weight = jax.lax.stop_gradient(-jnp.expm1(-ratio))
  by = contract.over_classes(temperature)
  soft = log_space.cross_entropy(
    log_space.log_probabilities(teacher / by, keep),
    log_space.log_probabilities(student / by, keep),
  )
  losses = temperature**2 * weight * soft
  return log_space.of_positions(losses, valid, labels, student.shape[-1])
