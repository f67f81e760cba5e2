"""Soft targets of which each step draws a few classes."""

import jax

from kdjax import losses
from kdjax.losses import contract
from kdjax.losses.response import log_space
from kdjax.transforms import axes, base, stateless
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(
  samples=contract.COUNT,
  temperature=contract.POSITIVE,
  proposal_temperature=contract.POSITIVE,
)
def sampled_soft_targets(
  *,
  samples: int = 12,
  temperature: Number = 1.0,
  proposal_temperature: Number = 1.0,
  mask: str | None = None,
) -> base.LossTransform:
  """`kdjax.losses.sampled_soft_target_loss` of classes drawn from the teacher.

  The classes are drawn anew at every step from the teacher's logits, by
  `kdjax.losses.sample_targets`, with a random key from the state; for each
  example from its `index`, so that they depend neither on its place in the
  batch nor on its device. (In a batch without `index` the examples are counted,
  on each device from 0.) The gradient is that of `soft_targets` in expectation;
  the value is larger by `temperature**2` times the teacher's entropy.

  Targets that were drawn before and kept are for the loss itself, which
  `kdjax.transforms.stateless` makes a transform of.

  >>> student = {'logits': jnp.zeros((1, 2))}
  >>> teacher = {'logits': jnp.array([[0.0, -jnp.inf]])}
  >>> value(sampled_soft_targets(samples=4), student, teacher)
  0.6931

  Args:
    samples: Classes drawn for each position, 1 or more; the authors find 12
      enough.
    temperature: Softens both predictions. Above 0.
    proposal_temperature: Above 1 to draw unlikely classes more often. Above 0.
    mask: As for `soft_targets`.

  Raises:
    ValueError: if a hyperparameter is out of range; from `init`, if student and
      teacher have different numbers of classes.

  References:
    Anshumann et al., `Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs <https://arxiv.org/abs/2503.16870>`_, 2025.
  """

  def init(key, student, teacher):
    state = {'key': jax.random.key_data(key)}
    return stateless.of_same_classes(key, student, teacher)._replace(
      state=state
    )

  def draw(key, logits):
    return losses.sample_targets(
      key,
      logits,
      samples=samples,
      temperature=temperature,
      proposal_temperature=proposal_temperature,
    )

  def build(axis_name):
    def apply(variables, student, teacher, batch, step):
      s, t = (
        base.without_padding(outputs['logits'], batch)
        for outputs in (student, teacher)
      )
      keys = binding.example_keys(
        variables.state['key'], step, batch, t.shape[0]
      )
      drawn = jax.vmap(draw)(keys, t)
      given = None if mask is None else batch[mask]
      found = losses.sampled_soft_target_loss(
        s, *drawn, temperature=temperature, mask=given
      )
      valid = log_space.counted(given, found.shape)
      value = base.batch_mean(found, batch, valid, axis_name)
      return value, variables.state, {}

    return init, apply

  return axes.synchronised(build)
