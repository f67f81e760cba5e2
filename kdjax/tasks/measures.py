"""Measures of a network on a set of examples.

A measure is a pair of functions. The first computes sums over some examples,
which add up over batches and devices. The second computes the value from the
sums of all examples. So macro F1 and calibration are exact on any number of
devices.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kdjax.losses.numerics import at_least_float32

# (outputs, batch) -> one number per example.
PerExample = Callable[[Mapping[str, jax.Array], Mapping], jax.Array]

_NAMES = (
  'accuracy',
  'loss',
  'top_5',
  'macro_f1',
  'balanced_accuracy',
  'ece',
  'class_accuracy',
)


class Measure(NamedTuple):
  """A measure of a network on a set of examples.

  Attributes:
    sums: `(outputs, batch, real) -> tree of arrays`, sums over the examples of
      the batch for which `real`, bool `[batch]`, is true.
    value: Maps the sums over all examples, NumPy with any leading axes, to the
      value: an array of these axes, or several such arrays by name.
    each: Gives one number per example, whose mean is the value, to watch a
      student train; None for a measure that is no such mean or is not watched.
    higher_is_better: Whether a higher value is better.
    unit: `%` for fractions, which reports show in percent; otherwise a unit.
  """

  sums: Callable[..., Any]
  value: Callable[[Any], Any]
  each: PerExample | None = None
  higher_is_better: bool = True
  unit: str = '%'


def of_classes(classes: int, names: tuple[str, ...]) -> dict[str, Measure]:
  """Returns the measures of a classifier that have these names.

  Args:
    classes: Number of classes.
    names: Any of `accuracy`, `loss`, `top_5`, `macro_f1`, `balanced_accuracy`,
      `ece` and `class_accuracy`; `loss` is the cross-entropy in nats, which is
      the negative log-likelihood.

  Returns:
    The measures by name, in this order.

  Raises:
    ValueError: if a measure is unknown, or top_5 has fewer than 5 classes.
  """
  made = {
    'accuracy': accuracy,
    'loss': cross_entropy,
    'top_5': lambda: top_k(5),
    'macro_f1': lambda: macro_f1(classes),
    'balanced_accuracy': lambda: balanced_accuracy(classes),
    'ece': calibration_error,
    'class_accuracy': lambda: class_accuracy(classes),
  }
  for name in names:
    if name not in made:
      raise ValueError(f'no {name!r}: must be some of {", ".join(made)}')
    if name == 'top_5' and classes < 5:
      raise ValueError(f'top_5 needs 5 classes, the data have {classes}')
  return {name: made[name]() for name in names}


def names(classes: int | None = None) -> tuple[str, ...]:
  """Returns the names for `of_classes`.

  Args:
    classes: Number of classes; None for the names that some number allows.
  """
  few = classes is not None and classes < 5
  return tuple(name for name in _NAMES if not (few and name == 'top_5'))


def correct(outputs: Mapping[str, jax.Array], batch: Mapping) -> jax.Array:
  """Returns whether each example is predicted right, 1 or 0.

  Args:
    outputs: Outputs with `logits`, shape `[..., classes]`.
    batch: Batch with `label`: integers `[...]`, or shares of the classes
      `[..., classes]`, whose largest share marks the right class.
  """
  logits = outputs['logits']
  label = _right(logits, batch['label'])
  return (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)


def _right(logits: jax.Array, label: jax.Array) -> jax.Array:
  """Returns the right class of every example; of shares, the largest."""
  return jnp.argmax(label, axis=-1) if label.shape == logits.shape else label


def accuracy() -> Measure:
  """The share of examples that are predicted right."""

  def sums(outputs, batch, real):
    right = correct(outputs, batch) > 0
    return {'sum': jnp.sum(real & right), 'examples': jnp.sum(real)}

  return Measure(sums, _mean, each=correct)


def top_k(k: int) -> Measure:
  """The share of examples whose label is among the `k` best classes."""

  def each(outputs, batch):
    _, best = jax.lax.top_k(outputs['logits'], k)
    label = _right(outputs['logits'], batch['label'])
    return jnp.any(best == label[..., None], axis=-1).astype(jnp.float32)

  def sums(outputs, batch, real):
    right = each(outputs, batch) > 0
    return {'sum': jnp.sum(real & right), 'examples': jnp.sum(real)}

  return Measure(sums, _mean, each=each)


def cross_entropy() -> Measure:
  """The mean cross-entropy with the labels, in nats."""

  def sums(outputs, batch, real):
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
      at_least_float32(outputs['logits']), batch['label']
    )
    total = jnp.sum(jnp.where(real, losses, 0))
    return {'sum': total, 'examples': jnp.sum(real)}

  return Measure(sums, _mean, higher_is_better=False, unit='nats')


def agreement() -> Measure:
  """The share of examples for which student and teacher predict one class.

  Reads `teacher_logits` beside `logits`, see `models.beside`.

  References:
    Stanton et al., `Does Knowledge Distillation Really Work?
    <https://arxiv.org/abs/2106.05945>`_, 2021, equation 2.
  """

  def sums(outputs, batch, real):
    del batch
    student, teacher = (
      jnp.argmax(outputs[name], axis=-1)
      for name in ('logits', 'teacher_logits')
    )
    return {'sum': jnp.sum(real & (student == teacher)), 'examples': real.sum()}

  return Measure(sums, _mean)


def macro_f1(classes: int) -> Measure:
  """The mean over classes of F1, `2 tp / (2 tp + fp + fn)`.

  A class without predictions and examples counts 0, as in scikit-learn's
  `f1_score` with `labels=range(classes)`. Without `labels`, scikit-learn leaves
  such a class out.
  """

  def sums(outputs, batch, real):
    label = batch['label']
    predicted = jnp.argmax(outputs['logits'], axis=-1)
    is_label, is_predicted = (
      (x[:, None] == jnp.arange(classes)[None]) & real[:, None]
      for x in (label, predicted)
    )
    return {
      'right': jnp.sum(is_label & is_predicted, axis=0),
      'labels': jnp.sum(is_label, axis=0),
      'predictions': jnp.sum(is_predicted, axis=0),
    }

  def value(sums):
    both = sums['labels'] + sums['predictions']
    return np.mean(2 * sums['right'] / np.maximum(both, 1), axis=-1)

  return Measure(sums, value)


def calibration_error(bins: int = 15) -> Measure:
  """The expected calibration error (ECE) of the predicted class.

  The mean over examples of `|accuracy - confidence|` of the example's bin;
  confidences from 0 to 1 fall into bins of equal width.

  References:
    Guo et al., `On Calibration of Modern Neural Networks
    <https://arxiv.org/abs/1706.04599>`_, 2017, equation 5.
  """

  def sums(outputs, batch, real):
    probs = jax.nn.softmax(at_least_float32(outputs['logits']), axis=-1)
    confidence = jnp.max(probs, axis=-1)
    # The paper's bins are open below and closed above.
    place = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0)
    inside = (place[:, None] == jnp.arange(bins)[None]) & real[:, None]
    gap = correct(outputs, batch) - confidence
    return {
      # Not a product: padding may hold NaN, and 0 * NaN is NaN.
      'gap': jnp.sum(jnp.where(inside, gap[:, None], 0), axis=0),
      'examples': jnp.sum(real),
    }

  def value(sums):
    return np.abs(sums['gap']).sum(axis=-1) / sums['examples']

  return Measure(sums, value, higher_is_better=False)


def class_accuracy(classes: int) -> Measure:
  """The accuracy per class; NaN for a class without examples."""

  def sums(outputs, batch, real):
    is_label = (batch['label'][:, None] == jnp.arange(classes)[None]) & (
      real[:, None]
    )
    right = correct(outputs, batch)[:, None] > 0
    return {
      'right': jnp.sum(is_label & right, axis=0),
      'labels': jnp.sum(is_label, axis=0),
    }

  def value(sums):
    labels = sums['labels']
    shares = np.where(labels > 0, sums['right'] / np.maximum(labels, 1), np.nan)
    return {str(i): shares[..., i] for i in range(classes)}

  return Measure(sums, value)


def balanced_accuracy(classes: int) -> Measure:
  """The mean over classes of the accuracy of the class's examples.

  A class without examples is left out, as in scikit-learn's
  `balanced_accuracy_score`.
  """
  each = class_accuracy(classes)

  def value(sums):
    labels = sums['labels']
    shares = sums['right'] / np.maximum(labels, 1)
    return shares.sum(axis=-1) / np.count_nonzero(labels, axis=-1)

  return Measure(each.sums, value)


def values(
  measures: Mapping[str, Measure], sums: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Returns values by name; several values of a measure are `name/part`."""
  found: dict[str, np.ndarray] = {}
  for name, measure in measures.items():
    value = measure.value(sums[name])
    if isinstance(value, Mapping):
      found |= {f'{name}/{part}': x for part, x in value.items()}
    else:
      found[name] = value
  return found


def _mean(sums: Mapping[str, np.ndarray]) -> np.ndarray:
  return sums['sum'] / sums['examples']
