"""Transforms of losses that compare where and how feature maps are active.

Taps are maps `[batch, height, width, channels]`; a vector counts as a map of
one position. On maps of one position `attention` is constantly zero and the
selectivities know the signs of the channels alone, so that neither teaches a
multilayer perceptron anything.
"""

import functools
import itertools

import flax.linen as nn
import jax

from kdjax.losses import contract
from kdjax.losses.feature import neuron_selectivity as selectivity
from kdjax.losses.feature.attention import attention_transfer_loss
from kdjax.losses.feature.fsp import fsp_loss
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import Projection
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(p=contract.AT_LEAST_ONE)
def attention(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  p: Number = 2.0,
  unsquared_norm: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.attention_transfer_loss`, summed over pairs of maps (AT).

  Weight 1000 in benchmark codebases, every stage.

  >>> term = attention(student='stage1', teacher='stage1', p=1)
  >>> student = jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1)
  >>> value(term, {'stage1': student}, {'stage1': student[:, :, ::-1]})
  0.04

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps.
    p: Power of the activations, at least 1.
    unsquared_norm: The paper's norm of the difference instead of the mean of
      squares, for a weight of `beta / 2` with the paper's `beta` of 1000.

  Raises:
    ValueError: if `p` is below 1 or the numbers of taps differ; from `init`, if
      there is no such tap (lists those there are) or it is no map.
  """
  loss = functools.partial(
    attention_transfer_loss, p=p, unsquared_norm=unsquared_norm
  )
  return binding.plain(loss, student, teacher)


@accepts(degree=contract.COUNT, offset=contract.NOT_NEGATIVE)
def neuron_selectivity(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  degree: int = 2,
  offset: Number = 0.0,
) -> base.LossTransform:
  """`polynomial_neuron_selectivity_loss`, summed over pairs of maps (NST).

  Weight 50.

  >>> term = neuron_selectivity(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.eye(2).reshape(1, 1, 2, 2)}
  >>> value(term, student, {'stage1': jnp.ones((1, 1, 2, 2))})
  0.5

  Args:
    student: Name of the student's map, or names of several; the paper's is
      the last one.
    teacher: As many names of the teacher's maps.
    degree: Positive integer.
    offset: Not negative.

  Raises:
    ValueError: if a hyperparameter is out of range or the numbers of taps
      differ; from `init`, as `attention`.
  """
  loss = functools.partial(
    selectivity.polynomial_neuron_selectivity_loss, degree=degree, offset=offset
  )
  return binding.plain(loss, student, teacher)


def linear_neuron_selectivity(
  *, student: binding.Taps, teacher: binding.Taps
) -> base.LossTransform:
  """`linear_neuron_selectivity_loss`, summed over pairs of maps.

  >>> term = linear_neuron_selectivity(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.eye(2).reshape(1, 1, 2, 2)}
  >>> value(term, student, {'stage1': jnp.ones((1, 1, 2, 2))})
  0.0858

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps.

  Raises:
    ValueError: if the numbers of taps differ; from `init`, as `attention`.
  """
  return binding.plain(
    selectivity.linear_neuron_selectivity_loss, student, teacher
  )


@accepts(variance=contract.POSITIVE)
def gaussian_neuron_selectivity(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  variance: Number | None = None,
) -> base.LossTransform:
  """`gaussian_neuron_selectivity_loss`, summed over pairs of maps.

  >>> term = gaussian_neuron_selectivity(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.eye(2).reshape(1, 1, 2, 2)}
  >>> value(term, student, {'stage1': jnp.ones((1, 1, 2, 2))})
  0.3776

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps.
    variance: Of the kernel, above 0; None for each example's mean squared
      distance, as in the paper.

  Raises:
    ValueError: if the variance is not positive or the numbers of taps differ;
      from `init`, as `attention`.
  """
  loss = functools.partial(
    selectivity.gaussian_neuron_selectivity_loss, variance=variance
  )
  return binding.plain(loss, student, teacher)


def fsp(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  summed: bool = False,
) -> base.LossTransform:
  """`kdjax.losses.fsp_loss` of consecutive maps, summed over these flows.

  The paper's networks agree in channels. Where they do not, the student's map
  passes a 1x1 convolution to the teacher's channels, which is not in the paper
  and trains with the student; both flows of a map share it.

  Weight 50 in benchmark codebases, and the published schedule minimises this
  loss alone first and trains the task afterwards without it.

  >>> names = 'stage1', 'stage2'
  >>> student = dict(zip(names, jnp.ones((2, 1, 4, 4, 3)), strict=True))
  >>> teacher = student | {'stage2': 3 * jnp.ones((1, 4, 4, 3))}
  >>> value(fsp(student=names, teacher=names), student, teacher)
  4.0

  Args:
    student: Names of at least two of the student's maps, bottom first.
    teacher: As many names of the teacher's maps.
    summed: The sum over the entries of a flow matrix, not their mean.

  Raises:
    ValueError: if there are not two taps or more, as many of either network;
      from `init`, as `attention`.
  """
  pairs = binding.pair_names(student, teacher)
  if len(pairs) < 2:
    raise ValueError(f'student must name two taps or more, got {student!r}.')
  keys = [f'tap{i}' for i in range(1, len(pairs) + 1)]

  def connect(source: jax.Array, target: jax.Array) -> nn.Module | None:
    channels = target.shape[-1]
    return Projection(channels) if source.shape[-1] != channels else None

  def init(key, student_outputs, teacher_outputs):
    params = {}
    part_keys = jax.random.split(key, len(pairs))
    for part_key, name, (s, t) in zip(part_keys, keys, pairs, strict=True):
      source = binding.example_map(student_outputs, s, 'student')
      target = binding.example_map(teacher_outputs, t, 'teacher')
      module = connect(source, target)
      if module is not None:
        params[name] = binding.init_module(part_key, module, source).params
    return base.LossVariables(params)

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    del step
    sources, targets = [], []
    for name, (s, t) in zip(keys, pairs, strict=True):
      source = binding.read_map(student_outputs, s, batch)
      targets.append(binding.read_map(teacher_outputs, t, batch))
      module = connect(source, targets[-1])
      if module is not None:
        source, _ = binding.apply_module(
          module, variables.params[name], {}, source
        )
      sources.append(source)
    losses = [
      fsp_loss((sources[i], sources[i + 1]), flow, summed=summed)
      for i, flow in enumerate(itertools.pairwise(targets))
    ]
    value = base.batch_mean(sum(losses[1:], losses[0]), batch)
    return value, variables.state, {}

  return axes.per_example(init, apply)
