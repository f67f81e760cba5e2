"""Without a teacher: label smoothing and the virtual teacher (Tf-KD)."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space

_INSTEAD = (
  'give argmax(labels, -1) of one-hot labels, and take label_smoothing_loss '
  'for soft or mixed ones.'
)


@contract.promises('position', smoothing=contract.each(contract.FRACTION))
def label_smoothing_loss(
  student_logits: chex.Array,
  labels: chex.Array,
  *,
  smoothing: chex.Numeric = 0.1,
  over_other_classes: bool = False,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Cross-entropy with the label mixed with a uniform distribution.

  `-(1 - smoothing) * log q_y - smoothing * mean_k log q_k`: the uniform part
  covers all classes, as in the papers. The code of Yuan et al. spreads it over
  the classes other than the label (`over_other_classes`), which is the same
  with `smoothing` times `classes / (classes - 1)`.

  Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{label_smoothing_loss(logits, jnp.array([0]))[0]:.4f}')
  0.7407

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    labels: Integer classes, shape `[...]`, or distributions over the classes
      (one-hot, soft, mixed), shape `[..., classes]`.
    smoothing: Weight of the uniform distribution, 0 to 1. One number, or one
      of each example.
    over_other_classes: Leave the label out of the uniform distribution; with
      distributions as labels, each class by its share.
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
    Szegedy et al., `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_, 2016, section 7.
  """
  contract.check_labels_or_shares(labels, student_logits)
  shape, classes = student_logits.shape[:-1], student_logits.shape[-1]
  valid = log_space.counted(mask, shape, labels, ignore)
  student, keep = log_space.single(student_logits, valid)
  log_q = log_space.log_probabilities(student, keep)
  shares = labels
  if labels.shape == shape:
    shares = jax.nn.one_hot(labels, classes, dtype=student.dtype)
  shares = jnp.asarray(shares, student.dtype)
  own = jnp.sum(shares * jnp.where(shares == 0, 0, log_q), axis=-1)
  # Classes that the student masks are left out of the uniform distribution.
  count = jnp.sum(keep, axis=-1).astype(student.dtype)
  spread = (1 - shares) if over_other_classes else jnp.ones_like(shares)
  count = jnp.maximum(count - 1, 1) if over_other_classes else count
  # Not 0 * -inf: the label may be a class that is left out of it.
  log_q = jnp.where(keep & (spread > 0), log_q, 0)
  uniform = jnp.sum(spread * log_q, axis=-1) / count
  losses = -(1 - smoothing) * own - smoothing * uniform
  return log_space.of_positions(losses, valid, labels, classes)


@contract.promises(
  'position',
  temperature=contract.each(contract.POSITIVE),
  confidence=contract.each(contract.FRACTION),
  student_temperature=contract.each(contract.POSITIVE),
)
def teacher_free_loss(
  student_logits: chex.Array,
  labels: chex.Array,
  *,
  temperature: chex.Numeric = 20.0,
  confidence: chex.Numeric = 0.99,
  student_temperature: chex.Numeric = 1.0,
  soften_probabilities: bool = True,
  ignore: int | None = None,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence from a virtual teacher that is right on every example.

  `KL(softmax(u / t) || softmax(student / student_temperature))`, where `u` is
  `confidence` at the label and `(1 - confidence) / (classes - 1)` elsewhere.
  As in the authors' code the probabilities `u` themselves are softened as if
  they were logits, which leaves a nearly uniform distribution, and the student
  is not softened. Elsewhere softening means `u**(1 / t)`, normalised
  (`soften_probabilities=False`), of both sides (`student_temperature=t`).

  Summed over classes. The authors' code takes PyTorch's mean over batch AND
  classes, times a multiplier of 100 on CIFAR-100's 100 classes: the same. Its
  weight is 0.1, beside 0.9 of cross-entropy. Time and memory `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> print(f'{teacher_free_loss(logits, jnp.array([0]))[0]:.4f}')
  0.0626

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    labels: Integer classes, shape `[...]`.
    temperature: Softens the virtual teacher. Above 0.
    confidence: Its probability of the label before that, between 0 and 1.
    student_temperature: Softens the student's predictions. Above 0.
    soften_probabilities: Soften the probabilities, not their logarithms.
    ignore: A label, such as -100 or 255, of positions that cost nothing; None
      for none. Other labels outside the classes give NaN.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per example in nats, shape `[...]`, float32 at least; 0 for one class.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yuan et al., `Revisiting Knowledge Distillation via Label Smoothing
    Regularization <https://arxiv.org/abs/1909.11723>`_, 2020, section 5
    (Tf-KD_reg).
  """
  contract.check_labels(labels, student_logits, instead=_INSTEAD)
  classes = student_logits.shape[-1]
  valid = log_space.counted(mask, labels.shape, labels, ignore)
  student, keep = log_space.single(student_logits, valid)
  split = log_space.others(labels, keep)
  others = jnp.sum(keep, axis=-1, keepdims=True).astype(student.dtype) - 1
  confidence = contract.over_classes(confidence)
  rest = (1 - confidence) / jnp.maximum(others, 1)
  virtual = jnp.where(split.target, jnp.asarray(confidence, rest.dtype), rest)
  scores = virtual if soften_probabilities else jnp.log(virtual)
  scores = scores / contract.over_classes(temperature)
  softened = student / contract.over_classes(student_temperature)
  losses = log_space.divergence(scores, softened, softened - scores, keep)
  return log_space.of_positions(losses, valid, labels, classes)
