"""Forward and reverse KL, weighted by where the predictions differ."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, placement
from kdjax.losses.response import log_space, mixtures


@contract.promises(
  'position',
  head_share=contract.each(contract.FRACTION),
  temperature=contract.each(contract.POSITIVE),
)
def adaptive_kl_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  head_share: chex.Numeric = 0.5,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Forward KL for the teacher's likely classes, reverse for the others (AKL).

  `g_h / (g_h + g_t) * KL(P || Q) + g_t / (g_h + g_t) * KL(Q || P)` with `P` the
  teacher's and `Q` the student's prediction. `g_h` is the sum of `|P - Q|` over
  the head, the fewest of the teacher's best classes that hold `head_share` of
  its mass, `g_t` over all others. The weights are constants for the gradient,
  by definition. There is no factor `temperature**2`.

  Classes that the teacher finds as likely as the last of the head are in the
  head too, so that the order of classes does not matter. (In the authors' code
  the class that reaches the share is in the tail, unless it is the first; in
  `songmzhang/DSKD` it is in the head as here.) The head jumps with the
  teacher's prediction, and the loss with it.

  Never negative, and accurate however alike the predictions are; 0, with
  gradient 0, where they are equal (0 / 0 elsewhere). A class that either
  network masks is left out of both. Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{adaptive_kl_loss(logits[:, ::-1], logits)[0]:.4f}')
  0.2749

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    head_share: Mass of the head, from 0, which gives the reverse KL, to 1, the
      forward KL. One number, or one of each example; may be traced.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wu et al., `Rethinking Kullback-Leibler Divergence in Knowledge Distillation
    for Large Language Models <https://arxiv.org/abs/2404.02657>`_, 2024,
    section 4.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  fixed = jax.lax.stop_gradient((teacher, student, temperature))
  found = mixtures.predictions(*fixed[:2], keep, fixed[2])
  share = jax.lax.stop_gradient(contract.over_classes(head_share))
  head, tail = _gaps(found, keep, share)
  total = head + tail
  some = total > 0
  total = jnp.where(some, total, 1)
  # Any weights that sum to 1 will do for equal predictions.
  of_forward, of_reverse = (
    jnp.where(some, gap / total, 0.5) for gap in (head, tail)
  )
  forward = log_space.softened_divergence(teacher, student, keep, temperature)
  reverse = log_space.softened_divergence(student, teacher, keep, temperature)
  losses = of_forward * forward + of_reverse * reverse
  # A share out of range is NaN, which no comparison notices.
  losses = jnp.where(jnp.isnan(head_share), jnp.nan, losses)
  return log_space.of_positions(losses, valid)


def _gaps(
  found: mixtures.Predictions, keep: chex.Array, share: chex.Numeric
) -> tuple[jax.Array, jax.Array]:
  """Sums of `|p - q|` over the head and over the tail."""
  p, q = (jnp.where(keep, jnp.exp(x), 0) for x in (found.log_p, found.log_q))
  near = jnp.abs(found.log_ratio) < 1
  close = p * jnp.abs(jnp.expm1(jnp.where(near, found.log_ratio, 0)))
  gap = jnp.where(near, close, jnp.abs(p - q))
  # A share of 1 is all classes, however the sum is rounded.
  head = (p >= _least_of_head(p, share)) | (share >= 1)
  return (
    jnp.sum(jnp.where(head, gap, 0), axis=-1),
    jnp.sum(jnp.where(head, 0, gap), axis=-1),
  )


def _least_of_head(p: chex.Array, share: chex.Numeric) -> jax.Array:
  """The least number above which the classes hold less than the share.

  That is the probability of the last class of the head, or inf without one. It
  is bisected, in as many passes as a float has bits: those of numbers that are
  not negative are in the order of the numbers. Sorting takes longer.
  """
  kind = jnp.int32 if p.dtype.itemsize < 8 else jnp.int64
  infinite = jnp.full_like(p[..., :1], jnp.inf)
  high = jax.lax.bitcast_convert_type(infinite, kind)

  def halve(_, bounds):
    low, high = bounds
    middle = low + (high - low + 1) // 2
    above = p > jax.lax.bitcast_convert_type(middle, p.dtype)
    less = jnp.sum(jnp.where(above, p, 0), axis=-1, keepdims=True) < share
    return jnp.where(less, low, middle), jnp.where(less, middle, high)

  # -1 is below the bits of 0, and above it are all classes.
  bounds = placement.varying_like((jnp.full_like(high, -1), high), p, share)
  _, high = jax.lax.fori_loop(0, jnp.iinfo(kind).bits - 1, halve, bounds)
  return jax.lax.bitcast_convert_type(high, p.dtype)
