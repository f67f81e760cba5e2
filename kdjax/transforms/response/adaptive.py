"""Interpolated targets that move faster while the loss falls (TAID)."""

import jax
import jax.numpy as jnp
import optax

from kdjax.losses import contract, numerics
from kdjax.transforms import axes, base, stateless
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response.logits import interpolated_targets


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
