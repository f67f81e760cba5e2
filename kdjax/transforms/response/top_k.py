"""Transforms of losses on the teacher's best classes."""

from kdjax import losses
from kdjax.losses import contract
from kdjax.transforms import base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


@accepts(temperature=contract.POSITIVE)
def top_k_soft_targets(
  *,
  temperature: Number = 4.0,
  reverse: bool = False,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.top_k_soft_target_loss` on the logits.

  The teacher's outputs must have `top_k_indices` and `top_k_log_probs`, as
  `kdjax.models.with_top_k` gives them, at the same temperature.

  >>> student = {'logits': jnp.log(jnp.array([[0.2, 0.3, 0.5]]))}
  >>> best, log_probs = jnp.array([[0]]), jnp.log(jnp.array([[0.5]]))
  >>> teacher = {'top_k_indices': best, 'top_k_log_probs': log_probs}
  >>> value(top_k_soft_targets(temperature=1.0), student, teacher)
  0.2231

  Args:
    temperature: Above 0.
    reverse: From the student's side, see the loss.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if the temperature is not positive; from `init`, if the teacher
      has no such outputs.
  """

  def loss(student, teacher, batch, valid):
    return losses.top_k_soft_target_loss(
      base.without_padding(student['logits'], batch),
      teacher['top_k_indices'],
      base.without_padding(teacher['top_k_log_probs'], batch),
      temperature=temperature,
      reverse=reverse,
      mask=valid,
    )

  init = stateless.owning_nothing(
    student=('logits',), teacher=('top_k_indices', 'top_k_log_probs')
  )
  return per_example.averaged(loss, init, mask=mask)
