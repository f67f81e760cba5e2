"""Total variation: how much probability the student puts elsewhere."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space, mixtures


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def total_variation_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """`sum |p - q| / 2` of teacher `p` and student `q`, as in f-DISTILL.

  Symmetric, and at most 1 however much the networks disagree; so its gradient
  is bounded, and vanishes where they share no class. It has a kink where a
  class is equally likely to both; the gradient is 0 there. There is no factor
  `temperature**2`.

  A class that either network masks is left out of both. Time and memory
  `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{total_variation_loss(logits[:, ::-1], logits)[0]:.4f}')
  0.3000

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position, from 0 to 1, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wen et al., `f-Divergence Minimization for Sequence-Level Knowledge
    Distillation <https://arxiv.org/abs/2307.15190>`_, 2023, section 3.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  found = mixtures.predictions(teacher, student, keep, temperature)
  # The logarithm of the ratio knows the difference of similar probabilities
  # to more digits than they do themselves.
  larger = jnp.exp(jnp.maximum(found.log_p, found.log_q))
  terms = larger * -jnp.expm1(-jnp.abs(found.log_ratio)) / 2
  return log_space.of_positions(mixtures.summed(terms, keep), valid)
