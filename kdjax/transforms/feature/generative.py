"""Masked generation: the teacher's map from the student's masked one.

What is hidden is drawn anew at every step, for each example from its `index`:
it depends neither on the example's place in the batch nor on its device. (In
a batch without `index` the examples are counted, on each device from 0.)
"""

import jax

from kdjax.losses.feature.masked_generative import (
  masked_generative_loss,
  random_mask,
)
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import MaskedGenerator
from kdjax.transforms.feature import binding


def masked_generative(
  *,
  student: str,
  teacher: str,
  ratio: float = 0.15,
  hide_channels: bool = True,
) -> base.LossTransform:
  """`kdjax.losses.masked_generative_loss` through its generator (MGD).

  The student's map passes a 1x1 convolution where the channels differ, is
  hidden in part, and a `MaskedGenerator`, trained with it, generates the
  teacher's map. The state holds a random key.

  The defaults are those of the authors' classification: 15 % of the channels
  are hidden, weight 7e-5. Their dense prediction hides positions
  (`hide_channels=False`) with a ratio of 0.65 (two-stage detectors: 0.45) or
  0.75 (segmentation), weight 2e-5.

  >>> term = masked_generative(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.ones((2, 4, 4, 3))}
  >>> shapes(term, student, {'stage1': jnp.ones((2, 4, 4, 5))})
  [(5,), (1, 1, 3, 5), (5,), (3, 3, 5, 5), (5,), (3, 3, 5, 5)]

  Args:
    student: Name of the student's map, the last stage's.
    teacher: Name of the teacher's map, of the same height and width.
    ratio: Share of what is hidden, in [0, 1).
    hide_channels: Hide channels, the same at all positions; otherwise
      positions.

  Raises:
    ValueError: if the ratio is out of range; from `init`, if there is no such
      tap (lists those there are), it is no map or the sizes differ.
  """
  if not 0 <= ratio < 1:
    raise ValueError(f'ratio must be in [0, 1), got {ratio}.')

  def draw(keys, target):
    channels, size = target.shape[-1], target.shape[1:3]
    shape = (1, 1, channels) if hide_channels else (*size, 1)
    return jax.vmap(lambda key: random_mask(key, shape, ratio=ratio))(keys)

  def init(key, student_outputs, teacher_outputs):
    source = binding.example_map(student_outputs, student, 'student')
    target = binding.example_map(teacher_outputs, teacher, 'teacher')
    binding.check_equal(
      'size', source.shape[1:3], target.shape[1:3], (student, teacher)
    )
    keys = jax.random.split(key)
    kept = draw(keys[1:], target)
    module = MaskedGenerator(target.shape[-1])
    params = binding.init_module(keys[0], module, source, kept).params
    return base.LossVariables(params, {'key': jax.random.key_data(keys[1])})

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    source = binding.read_map(student_outputs, student, batch)
    target = binding.read_map(teacher_outputs, teacher, batch)
    count = source.shape[0]
    keys = binding.example_keys(variables.state['key'], step, batch, count)
    module = MaskedGenerator(target.shape[-1])
    generated = module.apply(
      {'params': variables.params}, source, draw(keys, target)
    )
    value = base.batch_mean(masked_generative_loss(generated, target), batch)
    return value, variables.state, {}

  return axes.per_example(init, apply)
