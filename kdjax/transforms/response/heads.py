"""Transforms of large vocabularies: from hidden states and heads.

The logits of all tokens are never held. Networks answer with their hidden
states and, as outputs of their own, their heads: `kdjax.models.with_head` adds
these to any model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import axes, base, stateless
from kdjax.transforms.bound import bound, with_numbers
from kdjax.transforms.numbers import Number, accepts


def of_heads(
  loss: Callable,
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
  **hyperparameters: Any,
) -> base.LossTransform:
  """The mean of any loss between the heads of both networks.

  Both networks' outputs must have their head as `head`, `[dim, vocabulary]`,
  and may have `head_bias`, `head_scale` and `head_soft_cap`, see
  `kdjax.losses.LinearHead`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = of_heads(losses.linear_soft_target_loss)
  >>> value(term, teacher | {'head': head[::-1]}, teacher)
  0.2749

  Args:
    loss: `(student_hidden, student_head, teacher_hidden, teacher_head, *, mask,
      vocabulary, chunk, **hyperparameters) -> scalar`, the mean over tokens.
    student: Name of the student's hidden states, `[batch, ..., dim]`.
    teacher: Name of the teacher's.
    mask: Name of the batch's entry `[batch, ...]` that is zero at tokens to
      leave out, or None. The mean is over the others, in the global batch.
    vocabulary: Cuts both heads to their first so many classes.
    chunk: Tokens whose logits are held at a time.
    **hyperparameters: Numbers, schedules of the step, or `learned`.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if there is no
      such output.
  """

  def make(values):
    def of_outputs(student_outputs, teacher_outputs, valid):
      return loss(
        student_outputs[student],
        _head(student_outputs),
        teacher_outputs[teacher],
        _head(teacher_outputs),
        mask=valid,
        vocabulary=vocabulary,
        chunk=chunk,
        **values,
      )

    init = stateless.owning_nothing((student, 'head'), (teacher, 'head'))
    return _averaged(of_outputs, init, student, mask)

  return with_numbers(make, loss, hyperparameters)


@bound(of_heads, losses.linear_soft_target_loss)
def linear_soft_targets():
  """`kdjax.losses.linear_soft_target_loss` of hidden states and heads.

  Both networks' outputs must have their head as `head`, `[dim, vocabulary]`,
  and may have `head_bias`, `head_scale` and `head_soft_cap`, see
  `kdjax.losses.LinearHead`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_soft_targets(), teacher | {'head': head[::-1]}, teacher)
  0.2749
  """


@bound(of_heads, losses.linear_forward_kl_loss)
def linear_forward_kl():
  """`kdjax.losses.linear_forward_kl_loss`; otherwise `linear_soft_targets`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_forward_kl(), teacher | {'head': 0 * head}, teacher)
  0.069
  """


@bound(of_heads, losses.linear_reverse_kl_loss)
def linear_reverse_kl():
  """`kdjax.losses.linear_reverse_kl_loss`; otherwise `linear_soft_targets`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_reverse_kl(), teacher | {'head': 0 * head}, teacher)
  0.0702
  """


@bound(of_heads, losses.linear_generalised_jensen_shannon_loss)
def linear_generalised_jensen_shannon():
  """`kdjax.losses.linear_generalised_jensen_shannon_loss` (GKD).

  `beta` as for `generalised_jensen_shannon`, all else as for
  `linear_soft_targets`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = linear_generalised_jensen_shannon()
  >>> value(term, teacher | {'head': 0 * head}, teacher)
  0.0173
  """


@bound(of_heads, losses.linear_skew_kl_loss)
def linear_skew_kl():
  """The chunked `skew_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_skew_kl(), teacher | {'head': head[::-1]}, teacher)
  0.2174
  """


@bound(of_heads, losses.linear_skew_reverse_kl_loss)
def linear_skew_reverse_kl():
  """The chunked `skew_reverse_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_skew_reverse_kl(), teacher | {'head': 0 * head}, teacher)
  0.0563
  """


@bound(of_heads, losses.linear_alpha_beta_loss)
def linear_alpha_beta():
  """The chunked `alpha_beta`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = linear_alpha_beta(alpha=0.5, beta=0.0)
  >>> value(term, teacher | {'head': head[::-1]}, teacher)
  0.4763
  """


@bound(of_heads, losses.linear_adaptive_kl_loss)
def linear_adaptive_kl():
  """The chunked `adaptive_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_adaptive_kl(), teacher | {'head': head[::-1]}, teacher)
  0.2749
  """


@bound(of_heads, losses.linear_interpolated_target_loss)
def linear_interpolated_targets():
  """The chunked `interpolated_targets`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = linear_interpolated_targets(progress=0.4)
  >>> value(term, teacher | {'head': head[::-1]}, teacher)
  0.0443
  """


@accepts(temperature=contract.POSITIVE)
def linear_top_k_soft_targets(
  *,
  student: str = 'hidden',
  temperature: Number = 1.0,
  reverse: bool = False,
  mask: str | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """`kdjax.losses.linear_top_k_soft_target_loss` of a head and cached targets.

  The teacher's outputs must have `top_k_indices` and `top_k_log_probs`, see
  `kdjax.models.with_top_k`; the student's are as for `linear_soft_targets`.

  >>> head = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]))
  >>> best, log_probs = jnp.array([[0], [2]]), jnp.log(jnp.full((2, 1), 0.5))
  >>> teacher = {'top_k_indices': best, 'top_k_log_probs': log_probs}
  >>> student = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_top_k_soft_targets(), student, teacher)
  0.2231

  Args:
    student: Name of the student's hidden states, `[batch, ..., dim]`.
    temperature: At which the teacher's targets were taken. Above 0.
    reverse: From the student's side, see the loss.
    mask: As for `linear_soft_targets`.
    chunk: Tokens whose logits are held at a time.

  Raises:
    ValueError: as `linear_soft_targets`.
  """

  def loss(student_outputs, teacher_outputs, valid):
    return losses.linear_top_k_soft_target_loss(
      student_outputs[student],
      _head(student_outputs),
      teacher_outputs['top_k_indices'],
      teacher_outputs['top_k_log_probs'],
      temperature=temperature,
      reverse=reverse,
      mask=valid,
      chunk=chunk,
    )

  init = stateless.owning_nothing(
    (student, 'head'), ('top_k_indices', 'top_k_log_probs')
  )
  return _averaged(loss, init, student, mask)


def _averaged(
  loss: Callable[..., jax.Array],
  init: Callable[..., base.LossVariables],
  student: str,
  mask: str | None,
) -> base.LossTransform:
  """A mean over the tokens that count, of the global batch."""

  def build(axis_name):
    def apply(variables, student_outputs, teacher_outputs, batch, step):
      del step
      shape = student_outputs[student].shape[:-1]
      valid = _valid(batch, mask, shape)
      value = loss(student_outputs, teacher_outputs, valid)
      if axis_name is not None and valid is not None:
        # The device's share: its mean, as often as it has more tokens than
        # devices have on average.
        count = jnp.sum(valid).astype(value.dtype)
        mean = jax.lax.pmean(count, axis_name)
        value = value * count / jnp.maximum(mean, 1 / len(valid))
      return value, variables.state, {}

    return init, apply

  return axes.synchronised(build)


def _valid(
  batch: Mapping, mask: str | None, shape: tuple[int, ...]
) -> jax.Array | None:
  """Tokens that count: not masked, and of real examples."""
  weight = batch.get('weight')
  valid = None if mask is None else jnp.asarray(batch[mask]).astype(bool)
  if weight is None:
    return valid
  real = (weight > 0).reshape(-1, *(1,) * (len(shape) - 1))
  real = jnp.broadcast_to(real, shape)
  return real if valid is None else valid & real


def _head(outputs: base.Outputs) -> losses.LinearHead:
  """A network's head, as its outputs have it."""
  return losses.LinearHead(
    outputs['head'],
    outputs.get('head_bias'),
    outputs.get('head_scale', 1.0),
    outputs.get('head_soft_cap'),
  )
