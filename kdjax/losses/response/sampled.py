"""Soft targets of which only a few classes are drawn, without bias."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.response import log_space


class SampledTargets(NamedTuple):
  """Classes that were drawn from a teacher's prediction.

  Attributes:
    indices: The classes, int32 of shape `[..., samples]`; may repeat.
    weights: Importance weights, not negative, same shape. The sum of those of
      a class is its probability in expectation.
  """

  indices: jax.Array
  weights: jax.Array


def sample_targets(
  key: chex.PRNGKey,
  teacher_logits: chex.Array,
  *,
  samples: int,
  temperature: chex.Numeric = 1.0,
  proposal_temperature: chex.Numeric = 1.0,
) -> SampledTargets:
  """Draws classes from a teacher, for `sampled_soft_target_loss`.

  `samples` classes are drawn with replacement from `pi`, which is proportional
  to `p**(1 / proposal_temperature)` with `p = softmax(teacher / temperature)`.
  A draw `i` has the weight `p_i / (samples * pi_i)`: in expectation the weights
  of a class sum to `p_i`, whatever the proposal. At `proposal_temperature` 1
  all weights are `1 / samples`. They are not made to sum to 1, which would bias
  them.

  A class that the teacher masks is not drawn. Classes less likely than
  float32's rounding, 1e-7, are drawn with errors of that size; in float64 they
  are not. Time `O(N (C + samples log C))`, memory `O(N (C + samples))`.

  >>> logits = jnp.array([[0.0, -jnp.inf]])
  >>> drawn = sample_targets(jax.random.key(0), logits, samples=2)
  >>> print(drawn.indices, drawn.weights)
  [[0 0]] [[0.5 0.5]]

  Args:
    key: From `jax.random.key`; another for every draw.
    teacher_logits: Unnormalised log probabilities, shape `[..., classes]`.
    samples: How many classes are drawn, 1 or more; the authors find 12 enough.
    temperature: Softens the teacher's prediction. Above 0. One number, or one
      of each example.
    proposal_temperature: Above 1 to draw unlikely classes more often. Above 0,
      likewise.

  Returns:
    What was drawn.

  Raises:
    RefusedError: if the logits are not floating or a hyperparameter is out of
      range.

  References:
    Anshumann et al., `Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs <https://arxiv.org/abs/2503.16870>`_, 2025.
  """
  try:
    return _draw(
      teacher_logits,
      key,
      samples=samples,
      temperature=temperature,
      proposal_temperature=proposal_temperature,
    )
  except contract.RefusedError as error:
    raise contract.RefusedError('sample_targets', error.text) from error


@contract.promises(
  'position',
  samples=contract.COUNT,
  temperature=contract.each(contract.POSITIVE),
  proposal_temperature=contract.each(contract.POSITIVE),
)
def _draw(
  logits, random_key, *, samples, temperature, proposal_temperature
) -> SampledTargets:
  logits, keep = log_space.single(logits)
  logits = logits / contract.over_classes(temperature)
  proposal = logits / contract.over_classes(proposal_temperature)
  log_p, log_proposal = (
    log_space.log_probabilities(x, keep) for x in (logits, proposal)
  )
  sums = jnp.cumsum(jnp.exp(log_proposal), axis=-1)
  # Parallel sums may fall by a rounding error, and the search needs an order.
  sums = jax.lax.cummax(sums, axis=sums.ndim - 1)
  total = sums[..., -1:]
  places = total * jax.random.uniform(
    random_key, (*sums.shape[:-1], samples), sums.dtype
  )
  # Below the total, which is past the last class.
  places = jnp.minimum(places, jnp.nextafter(total, jnp.zeros_like(total)))
  indices = jnp.vectorize(_first_above, signature='(c),(k)->(k)')(sums, places)
  log_p, log_proposal, known = (
    jnp.take_along_axis(x, indices, axis=-1)
    for x in (log_p, log_proposal, keep)
  )
  log_weights = jnp.where(known, log_p - log_proposal, 0)
  weights = jnp.where(known, jnp.exp(log_weights) / samples, 0)
  return SampledTargets(indices, weights)


def _first_above(sums: chex.Array, places: chex.Array) -> jax.Array:
  """The first index whose sum is above each place; the last for NaN."""
  found = jnp.searchsorted(sums, places, side='right')
  return jnp.minimum(found, sums.shape[0] - 1).astype(jnp.int32)


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def sampled_soft_target_loss(
  student_logits: chex.Array,
  teacher_indices: chex.Array,
  teacher_weights: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Soft target cross-entropy from classes drawn from the teacher.

  `-t**2 * sum_j w_j log q(i_j)` with `q = softmax(student / t)`, `t` the
  temperature and `w_j` the weight of the drawn class `i_j`. With the draws of
  `sample_targets` its expectation is `t**2` times the cross-entropy of teacher
  and student, which is `soft_target_loss` plus `t**2` times the teacher's
  entropy, a constant of the student; and so is the expectation of its gradient
  that of `soft_target_loss`. (The best classes alone, made to sum to 1, have
  another gradient in expectation and another minimum; `top_k_soft_target_loss`
  keeps the rest as one class instead.)

  It is not 0 where student and teacher agree. Classes may repeat, and draws of
  weight 0 cost nothing: repeated draws may be merged into one. Draws of a class
  that the student masks are left out. Time and memory `O(N (C + samples))`.

  >>> drawn = jnp.array([[0, 2]]), jnp.array([[0.5, 0.5]])
  >>> print(f'{sampled_soft_target_loss(jnp.zeros((1, 3)), *drawn)[0]:.4f}')
  1.0986

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_indices: Integers, the classes that were drawn, `[..., samples]`.
    teacher_weights: Their importance weights, same shape, at `temperature`.
    temperature: At which the teacher's were drawn; softens the student's too.
      Above 0. One number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or the temperature is not
      above 0.

  References:
    Anshumann et al., `Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs <https://arxiv.org/abs/2503.16870>`_, 2025.
  """
  chex.assert_equal_shape([teacher_indices, teacher_weights])
  chex.assert_equal_shape_prefix(
    [student_logits, teacher_indices], student_logits.ndim - 1
  )
  chex.assert_type([student_logits, teacher_weights], float)
  chex.assert_type(teacher_indices, int)
  valid = log_space.counted(mask, student_logits.shape[:-1])
  weights = numerics.at_least_float32(teacher_weights)
  if valid is not None:
    teacher_indices = jnp.where(valid[..., None], teacher_indices, 0)
    weights = jnp.where(valid[..., None], weights, 0)
  logits, keep = log_space.single(student_logits, valid)
  log_q = log_space.log_probabilities(
    logits / contract.over_classes(temperature), keep
  )
  drawn = jnp.take_along_axis(log_q, teacher_indices, axis=-1)
  # Not -inf, and 0 * inf in the gradient by the weights.
  out = (drawn == -jnp.inf) | (weights == 0)
  drawn = jnp.where(out, 0, drawn)
  losses = -(temperature**2) * jnp.sum(weights * drawn, axis=-1)
  return log_space.of_positions(losses, valid)
