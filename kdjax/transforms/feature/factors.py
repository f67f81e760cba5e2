"""Factor transfer: a paraphraser trains first, then the student translates."""

import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.feature.factor_transfer import factor_transfer_loss
from kdjax.losses.feature.hints import hint_loss
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import Paraphraser, Translator
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(
  rate=contract.fixed(contract.POSITIVE),
  p1=contract.AT_LEAST_ONE,
  p2=contract.AT_LEAST_ONE,
)
def factor_transfer(
  *,
  student: str,
  teacher: str,
  paraphraser_steps: int,
  rate: float = 0.5,
  p1: Number = 2.0,
  p2: Number = 1.0,
  whole_factors: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.factor_transfer_loss` with its two trained networks (FT).

  For `paraphraser_steps` steps the value is the paraphraser's error of
  reconstruction, the mean of squares, and the student gets no gradient from
  this term; afterwards it is factor transfer, and the paraphraser is frozen as
  it was after its last step: the state keeps that copy, because an optimizer's
  momentum and weight decay still move the parameters. Weight 200 (500 for
  `whole_factors`). Metrics: `reconstruction` and `factor_transfer`, both at
  every step.

  >>> term = factor_transfer(student='map', teacher='map', paraphraser_steps=10)
  >>> student = {'map': jnp.ones((2, 4, 4, 3))}
  >>> len(shapes(term, student, {'map': jnp.ones((2, 4, 4, 8))}))
  24

  Args:
    student: Name of the student's map, `[batch, height, width, channels]`; a
      vector counts as a map of one position, which needs `whole_factors`:
      without it every such map is the same.
    teacher: Name of the teacher's map, the last stage's in the paper.
    paraphraser_steps: Steps in which the paraphraser trains; the published
      code takes 30 epochs. 0 leaves it at its random start.
    rate: Channels of the factors as a share of the teacher's channels.
    p1: Power of the activations, at least 1.
    p2: Power of the differences, at least 1.
    whole_factors: The paper's form, which compares every channel.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if there is
      no such tap (lists those there are), it is no map, or `rate` leaves no
      channel.

  References:
    Kim et al., `Paraphrasing Complex Network: Network Compression via Factor
    Transfer <https://arxiv.org/abs/1802.04977>`_, 2018, section 3.
  """
  _check_steps(paraphraser_steps)

  def modules(channels: int, axis_name=None) -> tuple[Paraphraser, Translator]:
    factors = int(channels * rate)
    return Paraphraser(channels, factors), Translator(factors, axis_name)

  def init(key, student_outputs, teacher_outputs):
    source = binding.example_map(student_outputs, student, 'student')
    target = binding.example_map(teacher_outputs, teacher, 'teacher')
    channels = target.shape[-1]
    if int(channels * rate) < 1:
      raise ValueError(
        f'rate must leave a factor of {channels} channels, got {rate}.'
      )
    keys = jax.random.split(key)
    paraphraser, translator = modules(channels)
    encoding = binding.init_module(keys[0], paraphraser, target)
    translation = binding.init_module(keys[1], translator, source)
    # A copy: params and state may both be donated.
    frozen = jax.tree.map(jnp.copy, encoding.params)
    return base.LossVariables(
      {'paraphraser': encoding.params, 'translator': translation.params},
      {'paraphraser': frozen, 'translator': translation.state},
    )

  def transfer_of(translated, factors):
    return factor_transfer_loss(
      translated,
      jax.lax.stop_gradient(factors),
      p1=p1,
      p2=p2,
      whole_factors=whole_factors,
    )

  def build(axis_name):
    def apply(variables, student_outputs, teacher_outputs, batch, step):
      source = binding.read_map(student_outputs, student, batch)
      target = binding.read_map(teacher_outputs, teacher, batch)
      paraphraser, translator = modules(target.shape[-1], axis_name)
      params, state = variables
      # The step after the last one sees what that one has made of the params.
      frozen = jax.tree.map(
        lambda new, old: jnp.where(step <= paraphraser_steps, new, old),
        params['paraphraser'],
        state['paraphraser'],
      )
      factors, decoded = paraphraser.apply({'params': frozen}, target)
      translated, translator_state = binding.apply_module(
        translator,
        params['translator'],
        state['translator'],
        source,
        batch.get('weight'),
      )
      reconstruction = base.batch_mean(
        hint_loss(decoded, target, mean_squared=True), batch
      )
      transfer = base.batch_mean(transfer_of(translated, factors), batch)
      value = jnp.where(step < paraphraser_steps, reconstruction, transfer)
      metrics = {'reconstruction': reconstruction, 'factor_transfer': transfer}
      state = {'paraphraser': frozen, 'translator': translator_state}
      return value, state, metrics

    return init, apply

  return axes.synchronised(build)


def _check_steps(paraphraser_steps: int) -> None:
  """Raises ValueError unless it is a count of steps, or 0."""
  if not isinstance(paraphraser_steps, int) or paraphraser_steps < 0:
    raise ValueError(
      'paraphraser_steps must be an integer not below 0, got '
      f'{paraphraser_steps}.'
    )
