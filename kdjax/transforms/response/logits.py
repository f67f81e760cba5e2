"""Transforms of losses of one prediction at a time: of logits and labels."""

import functools
from collections.abc import Callable
from typing import Any

from kdjax import losses
from kdjax.transforms import base, stateless
from kdjax.transforms.bound import arrays, bound, keywords, with_numbers
from kdjax.transforms.response import per_example


def of_logits(
  loss: Callable,
  *,
  student_logits: str = 'logits',
  teacher_logits: str = 'logits',
  mask: str | None = None,
  ignore: int | None = None,
  **hyperparameters: Any,
) -> base.LossTransform:
  """The mean of any loss of logits, `[batch, ..., classes]`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> term = of_logits(losses.skew_kl_loss, skew=0.1)
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2174

  Args:
    loss: `(student_logits, teacher_logits, labels, **hyperparameters) ->
      losses`, `[batch, ...]`. It may take no `teacher_logits` or no `labels`;
      the names of its arguments tell. Where it takes a `mask`, it gets one.
    student_logits: Name of the student's output that the loss reads.
    teacher_logits: Name of the teacher's.
    mask: Name of the batch's entry `[batch, ...]` that is zero at tokens or
      positions to leave out of logits `[batch, ..., classes]`, or None. The
      mean is over the other positions, in the global batch.
    ignore: A label, such as -100 or 255, of positions to leave out.
    **hyperparameters: Numbers, schedules of the step, or `learned`.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if the loss
      takes a teacher and the networks have different numbers of classes.
  """
  taken, known = arrays(loss), keywords(loss)
  names = student_logits, teacher_logits
  needs_teacher = len([name for name in taken if name != 'labels']) > 1
  positions = {'ignore': ignore} if 'ignore' in known else {}

  def make(values):
    def of_outputs(student, teacher, batch, valid):
      outputs = [student, teacher] if needs_teacher else [student]
      given = [
        base.without_padding(x[name], batch)
        for x, name in zip(outputs, names, strict=False)
      ]
      if 'labels' in taken:
        given.append(batch['label'])
      masks = {'mask': valid} if 'mask' in known else {}
      return loss(*given, **values, **positions, **masks)

    init = (
      functools.partial(stateless.of_same_classes, names=names)
      if needs_teacher
      else stateless.owning_nothing(student=names[:1])
    )
    return per_example.averaged(of_outputs, init, mask=mask, ignore=ignore)

  return with_numbers(make, loss, hyperparameters)


@bound(of_logits, losses.soft_target_loss, temperature=4.0)
def soft_targets():
  """`kdjax.losses.soft_target_loss` on the logits.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> term = soft_targets(temperature=1.0)
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2749
  """


@bound(of_logits, losses.hard_target_loss)
def hard_targets():
  """`kdjax.losses.hard_target_loss` on the logits.

  DeiT takes it of the answer of its distillation token,
  `student_logits='distillation_logits'`, at weight 0.5.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(hard_targets(), {'logits': logits[:, ::-1]}, {'logits': logits})
  1.6094
  """


@bound(of_logits, losses.standardised_soft_target_loss)
def standardised_soft_targets():
  """`kdjax.losses.standardised_soft_target_loss` on the logits.

  The authors weight it 9, beside 0.1 of `labels`.

  >>> student = {'logits': jnp.array([[3.0, 2.0, 1.0]])}
  >>> teacher = {'logits': jnp.array([[5.0, 7.0, 9.0]])}
  >>> value(standardised_soft_targets(), student, teacher)
  1.2806
  """


@bound(of_logits, losses.forward_kl_loss)
def forward_kl():
  """`kdjax.losses.forward_kl_loss`: soft targets without `temperature**2`.

  Language models take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(forward_kl(), student, teacher)
  0.069
  """


@bound(of_logits, losses.reverse_kl_loss)
def reverse_kl():
  """`kdjax.losses.reverse_kl_loss` on the logits.

  Language models take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(reverse_kl(), student, teacher)
  0.0702
  """


@bound(of_logits, losses.generalised_jensen_shannon_loss)
def generalised_jensen_shannon():
  """`kdjax.losses.generalised_jensen_shannon_loss` on the logits (GKD).

  The authors take it at weight 1, without cross-entropy.

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(generalised_jensen_shannon(), student, teacher)
  0.0173
  """


@bound(of_logits, losses.skew_kl_loss)
def skew_kl():
  """`kdjax.losses.skew_kl_loss` on the logits (DistiLLM).

  The authors take it at weight 1, without cross-entropy.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(skew_kl(), {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2174
  """


@bound(of_logits, losses.skew_reverse_kl_loss)
def skew_reverse_kl():
  """`kdjax.losses.skew_reverse_kl_loss` on the logits (DistiLLM).

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(skew_reverse_kl(), student, teacher)
  0.0563
  """


@bound(of_logits, losses.alpha_beta_loss)
def alpha_beta():
  """`kdjax.losses.alpha_beta_loss` on the logits (ABKD).

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> term = alpha_beta(alpha=0.5, beta=0.0)
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.4763
  """


@bound(of_logits, losses.adaptive_kl_loss)
def adaptive_kl():
  """`kdjax.losses.adaptive_kl_loss` on the logits (AKL).

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(adaptive_kl(), {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2749
  """


@bound(of_logits, losses.interpolated_target_loss)
def interpolated_targets():
  """`kdjax.losses.interpolated_target_loss` on the logits (TAID).

  With `progress=optax.linear_schedule(0.4, 1.0, steps)` it is the authors' loss
  without adaptation; `adaptive_interpolated_targets` adapts. The metric
  `progress` shows where a schedule is.

  >>> term = interpolated_targets(progress=0.4)
  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.0443
  """


@bound(of_logits, losses.normalised_loss)
def normalised_soft_targets():
  """`kdjax.losses.normalised_loss` on the logits (NKD).

  The authors weight it 1, beside 1 of `labels`; the defaults are theirs for
  ImageNet. For CIFAR-100 they have `gamma` 3.5 and temperature 3.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> value(normalised_soft_targets(), student, teacher, label=jnp.array([0]))
  1.9695
  """


@bound(of_logits, losses.weighted_soft_label_loss)
def weighted_soft_labels():
  """`kdjax.losses.weighted_soft_label_loss` on the logits (WSLD).

  The authors weight it 2.5, beside 1 of `labels`, on ImageNet; on CIFAR-100
  2.25 with temperature 4.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> student, teacher = {'logits': logits[:, ::-1]}, {'logits': logits}
  >>> value(weighted_soft_labels(), student, teacher, label=jnp.array([0]))
  4.1522
  """


@bound(of_logits, losses.multi_label_soft_target_loss)
def multi_label_soft_targets():
  """`kdjax.losses.multi_label_soft_target_loss` on the logits.

  >>> logits = jnp.array([[2.0, 0.0, -1.0]])
  >>> term = multi_label_soft_targets()
  >>> value(term, {'logits': logits}, {'logits': 2 * logits})
  0.1399
  """


@bound(of_logits, losses.label_smoothing_loss)
def label_smoothing():
  """`kdjax.losses.label_smoothing_loss`, in place of `labels`, at weight 1.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(label_smoothing(), student, {}, label=jnp.array([0]))
  0.7407
  """


@bound(of_logits, losses.teacher_free_loss)
def teacher_free():
  """`kdjax.losses.teacher_free_loss` (Tf-KD), a teacher made of the labels.

  The authors weight it 0.1, beside 0.9 of `labels`.

  >>> student = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> value(teacher_free(), student, {}, label=jnp.array([0]))
  0.0626
  """
