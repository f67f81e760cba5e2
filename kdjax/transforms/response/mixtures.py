"""Transforms of divergences between, and beyond, forward and reverse KL."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kdjax import losses
from kdjax.losses import contract, numerics
from kdjax.losses.response.skew import SKEW
from kdjax.transforms import axes, base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response import per_example


@accepts(skew=SKEW, temperature=contract.POSITIVE)
def skew_kl(
  *, skew: Number = 0.1, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.skew_kl_loss` on the logits (DistiLLM).

  The authors take it at weight 1, without cross-entropy.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(skew_kl(), {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2174

  Args:
    skew: Share of the teacher in the mixture, from 0 to below 1.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024.
  """
  return _divergence(
    losses.skew_kl_loss, mask, skew=skew, temperature=temperature
  )


@accepts(skew=SKEW, temperature=contract.POSITIVE)
def skew_reverse_kl(
  *, skew: Number = 0.1, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.skew_reverse_kl_loss` on the logits (DistiLLM).

  >>> teacher = {'logits': jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
  >>> student = {'logits': jnp.zeros((1, 3))}
  >>> value(skew_reverse_kl(), student, teacher)
  0.0563

  Args:
    skew: Share of the student in the mixture, from 0 to below 1.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: as `skew_kl`.

  References:
    Ko et al., `DistiLLM: Towards Streamlined Distillation for Large Language
    Models <https://arxiv.org/abs/2402.03898>`_, 2024.
  """
  return _divergence(
    losses.skew_reverse_kl_loss, mask, skew=skew, temperature=temperature
  )


@accepts(
  alpha=contract.FINITE, beta=contract.FINITE, temperature=contract.POSITIVE
)
def alpha_beta(
  *,
  alpha: Number = 0.2,
  beta: Number = 0.7,
  temperature: Number = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.alpha_beta_loss` on the logits (ABKD).

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> term = alpha_beta(alpha=0.5, beta=0.0)
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.4763

  Args:
    alpha: Smaller, to concentrate on classes of large error. Finite.
    beta: Larger, to concentrate on classes of which the student is confident.
      Finite.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: as `skew_kl`.

  References:
    Wang et al., `ABKD: Pursuing a Proper Allocation of the Probability Mass in
    Knowledge Distillation via alpha-beta-Divergence
    <https://arxiv.org/abs/2505.04560>`_, 2025.
  """
  return _divergence(
    losses.alpha_beta_loss,
    mask,
    alpha=alpha,
    beta=beta,
    temperature=temperature,
  )


@accepts(head_share=contract.FRACTION, temperature=contract.POSITIVE)
def adaptive_kl(
  *,
  head_share: Number = 0.5,
  temperature: Number = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.adaptive_kl_loss` on the logits (AKL).

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(adaptive_kl(), {'logits': logits[:, ::-1]}, {'logits': logits})
  0.2749

  Args:
    head_share: Mass of the teacher's likely classes, from 0 to 1.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: as `skew_kl`.

  References:
    Wu et al., `Rethinking Kullback-Leibler Divergence in Knowledge Distillation
    for Large Language Models <https://arxiv.org/abs/2404.02657>`_, 2024.
  """
  return _divergence(
    losses.adaptive_kl_loss,
    mask,
    head_share=head_share,
    temperature=temperature,
  )


@accepts(progress=contract.FRACTION, temperature=contract.POSITIVE)
def interpolated_targets(
  *, progress: Number, temperature: Number = 1.0, mask: str | None = None
) -> base.LossTransform:
  """`kdjax.losses.interpolated_target_loss` on the logits (TAID).

  With `progress=optax.linear_schedule(0.4, 1.0, steps)` it is the authors' loss
  without adaptation; `adaptive_interpolated_targets` adapts. The metric
  `progress` shows where a schedule is.

  >>> term = interpolated_targets(progress=0.4)
  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.0443

  Args:
    progress: Share of the teacher in the target's logits, from 0 to 1.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: as `skew_kl`.

  References:
    Shing et al., `TAID: Temporally Adaptive Interpolated Distillation for
    Efficient Knowledge Transfer in Language Models
    <https://arxiv.org/abs/2501.16937>`_, 2025.
  """
  return _divergence(
    losses.interpolated_target_loss,
    mask,
    progress=progress,
    temperature=temperature,
  )


@accepts(
  steps=contract.COUNT,
  start=contract.fixed(contract.FRACTION),
  end=contract.fixed(contract.FRACTION),
  rate=contract.fixed(contract.FRACTION),
  momentum=contract.fixed(contract.FRACTION),
  temperature=contract.POSITIVE,
)
def adaptive_interpolated_targets(
  *,
  steps: int,
  start: float = 0.4,
  end: float = 1.0,
  rate: float = 5e-4,
  momentum: float = 0.99,
  temperature: Number = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`interpolated_targets` that move faster while the loss falls (TAID).

  At every step the target is as far as the linear schedule at least, and never
  goes back: `t = max(t, start + (end - start) * step / steps)`. After it,
  `t += rate * sigmoid(m) * (1 - t)`, at most to `end`, where `m` is the running
  mean, with `momentum`, of the relative fall of the loss from step to step,
  `(previous - loss) / previous`, of the global batch. The defaults are the
  authors'. (Their code watches the cross-entropy, which falls relatively less
  than the divergence that their paper and this loss have.)

  The state holds `t`, `m` and the last loss, and goes on where a checkpoint
  ends. The metric `progress` is `t`.

  >>> term = adaptive_interpolated_targets(steps=100)
  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> value(term, {'logits': logits[:, ::-1]}, {'logits': logits})
  0.0443

  Args:
    steps: Of the training.
    start: Share of the teacher in the target at the start, from 0 to 1.
    end: Its bound from above, from 0 to 1.
    rate: Of the adaptation, from 0, which leaves the schedule alone, to 1.
    momentum: Of the running mean, from 0 to 1.
    temperature: Softens both predictions. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: as `skew_kl`.

  References:
    Shing et al., `TAID: Temporally Adaptive Interpolated Distillation for
    Efficient Knowledge Transfer in Language Models
    <https://arxiv.org/abs/2501.16937>`_, 2025, section 3.
  """
  linear = optax.linear_schedule(start, end, steps)

  def init(key, student, teacher):
    begin = {'progress': start, 'trend': 0.0, 'loss': float('inf')}
    state = {name: jnp.float32(x) for name, x in begin.items()}
    return stateless.of_same_classes(key, student, teacher)._replace(
      state=state
    )

  def build(place):
    """`place` puts a transform on an axis, so that its value is of all."""

    def apply(variables, student, teacher, batch, step):
      state = variables.state
      scheduled = linear(jnp.asarray(step).astype(jnp.float32))
      progress = jnp.maximum(state['progress'], scheduled)
      term = place(
        interpolated_targets(
          progress=progress, temperature=temperature, mask=mask
        )
      )
      value, _, metrics = term.apply(
        base.LossVariables(), student, teacher, batch, step
      )
      loss = jax.lax.stop_gradient(value).astype(jnp.float32)
      first = jnp.isinf(state['loss'])
      trend = momentum * state['trend'] + (1 - momentum) * _fall(state, loss)
      faster = progress + rate * jax.nn.sigmoid(trend) * (1 - progress)
      progress = jnp.where(first, progress, jnp.minimum(faster, end))
      new = {'progress': progress, 'trend': trend, 'loss': loss}
      return value, new, metrics

    return apply

  def on_axis(axis_name):
    apply = build(lambda term: axes.on_axis(term, axis_name))
    return axes.on_this_axis(init, apply, axis_name)

  return base.LossTransform(init, build(lambda term: term), on_axis)


def _fall(state: dict[str, jax.Array], loss: jax.Array) -> jax.Array:
  """By what share the loss fell; 0 at the first step, which has no previous."""
  previous = jnp.where(jnp.isinf(state['loss']), loss, state['loss'])
  return numerics.safe_divide(previous - loss, previous)


def _divergence(
  loss: Callable, mask: str | None, **hyperparameters: Any
) -> base.LossTransform:
  """A per-example loss of both networks' logits."""

  def of_logits(student, teacher, batch, valid):
    del batch
    return loss(student, teacher, mask=valid, **hyperparameters)

  return per_example.of_both(of_logits, mask=mask)
