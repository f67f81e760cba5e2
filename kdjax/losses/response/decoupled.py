"""Decoupled distillation: the target class apart from the others (DKD)."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space

_INSTEAD = (
  'give argmax(labels, -1) of one-hot labels, and take soft_target_loss for '
  'soft or mixed ones.'
)


class DecoupledParts(NamedTuple):
  """The two parts of soft targets, per example.

  Attributes:
    target: Divergence of target class against the rest, shape `[...]` (TCKD).
    non_target: Divergence among the other classes, shape `[...]` (NCKD).
  """

  target: jax.Array
  non_target: jax.Array


@contract.promises('position', temperature=contract.each(contract.POSITIVE))
def decoupled_parts(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 4.0,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> DecoupledParts:
  """Target and non-target divergence, of which soft targets are a blend.

  With `p = softmax(teacher / t)`, `q = softmax(student / t)`, `y` the label and
  `p', q'` the distributions over the classes other than `y`:
  `target = t**2 * KL([p_y, 1 - p_y] || [q_y, 1 - q_y])` and
  `non_target = t**2 * KL(p' || q')`. The soft target loss is
  `target + (1 - p_y) * non_target`.

  Exact in log space, so two classes have `non_target = 0`, one class has both
  0, and logits of +-1e4 are finite. Other implementations take the log of
  summed probabilities, which reaches -inf (and 0 * inf = NaN), and leave the
  target out of `p'` by subtracting 1000 from its logit, which is not enough
  for logits beyond that.

  Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> labels = jnp.array([0])
  >>> parts = decoupled_parts(logits[:, ::-1], logits, labels, temperature=1.0)
  >>> print(f'{parts.target[0]:.4f} {parts.non_target[0]:.4f}')
  0.2231 0.1035

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    ignore: A label, such as -100 or 255, of positions that cost nothing; None
      for none. Other labels outside the classes give NaN.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Both parts in nats, shape `[...]` each, float32 at least, each times
    `temperature**2`.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Zhao et al., `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, 2022, equations 4 to 6.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  contract.check_labels(labels, student_logits, instead=_INSTEAD)
  valid = log_space.counted(mask, labels.shape, labels, ignore)
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  by = contract.over_classes(temperature)
  difference = (student - teacher) / by
  student, teacher = student / by, teacher / by
  split = log_space.others(labels, keep)
  non_target = log_space.divergence(teacher, student, difference, split.kept)
  target = _target_divergence(teacher, student, difference, split, non_target)
  classes = student.shape[-1]
  return DecoupledParts(
    *(
      log_space.of_positions(temperature**2 * part, valid, labels, classes)
      for part in (target, non_target)
    )
  )


@contract.promises(
  'position',
  alpha=contract.each(contract.NOT_NEGATIVE),
  beta=contract.each(contract.NOT_NEGATIVE),
  temperature=contract.each(contract.POSITIVE),
)
def decoupled_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  labels: chex.Array,
  *,
  alpha: chex.Numeric = 1.0,
  beta: chex.Numeric = 8.0,
  temperature: chex.Numeric = 4.0,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Decoupled knowledge distillation: `alpha * target + beta * non_target`.

  The parts are those of `decoupled_parts`. The authors' runs on CIFAR-100 have
  `beta` 2 (ResNet-56 and -110), 6 (wide ResNets, VGG) or 8 (ResNet-32x4),
  weight 1 beside a cross-entropy of weight 1, and a weight that rises linearly
  from 0 over the first 20 epochs; on ImageNet `beta` 0.5 and temperature 1.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> labels = jnp.array([0])
  >>> loss = decoupled_loss(logits[:, ::-1], logits, labels, temperature=1.0)
  >>> print(f'{loss[0]:.4f}')
  1.0510

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    labels: Integer classes, shape `[...]`.
    alpha: Weight of the target part.
    beta: Weight of the non-target part.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    ignore: A label, such as -100 or 255, of positions that cost nothing; None
      for none. Other labels outside the classes give NaN.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Zhao et al., `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, 2022, equation 7.
  """
  parts = decoupled_parts(
    student_logits,
    teacher_logits,
    labels,
    temperature=temperature,
    ignore=ignore,
    mask=mask,
  )
  return alpha * parts.target + beta * parts.non_target


def _target_divergence(
  teacher: chex.Array,
  student: chex.Array,
  difference: chex.Array,
  split: log_space.Others,
  non_target: chex.Array,
) -> jax.Array:
  """Divergence between the labelled class and all others as one."""
  shares = jax.nn.softmax(teacher, axis=-1, where=split.kept)
  mean = jnp.sum(jnp.where(split.kept, shares * difference, 0), axis=-1)
  own = jnp.sum(jnp.where(split.target, difference, 0), axis=-1)
  # The log of the others' total changes by their mean difference plus their
  # divergence: no two logarithms of nearly equal sums are subtracted.
  shift = jnp.where(split.any & split.labelled, own - mean - non_target, 0)
  odds = [
    jnp.where(
      split.any & split.labelled, log_space.target_log_odds(logits, split), 0
    )
    for logits in (teacher, student)
  ]
  keep = jnp.stack([split.labelled, split.any], axis=-1)
  return log_space.divergence(
    *(log_space.beside_zero(x) for x in (*odds, shift)), keep
  )
