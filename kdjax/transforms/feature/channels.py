"""Transforms of losses that compare channels: CWD, PKD and ICKD.

Taps are maps `[batch, height, width, channels]`; a vector counts as a map of
one position, on which `channel_wise` is constantly zero.
"""

import functools

import flax.linen as nn
import jax

from kdjax.losses import contract
from kdjax.losses.feature.channel_wise import channel_wise_loss
from kdjax.losses.feature.inter_channel import inter_channel_loss
from kdjax.losses.feature.pearson import pearson_feature_loss
from kdjax.transforms import base
from kdjax.transforms.connectors import NormalisedProjection, Projection
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(temperature=contract.POSITIVE)
def channel_wise(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  temperature: Number = 4.0,
) -> base.LossTransform:
  """`kdjax.losses.channel_wise_loss`, summed over pairs of maps (CWD).

  Through a 1x1 convolution, trained with the student, where the channels
  differ. Weight 3 on maps of class scores, 50 on features.

  >>> term = channel_wise(student='stage1', teacher='stage1', temperature=1)
  >>> teacher = jnp.log(jnp.array([3.0, 1.0])).reshape(1, 1, 2, 1)
  >>> value(term, {'stage1': jnp.zeros_like(teacher)}, {'stage1': teacher})
  0.1308

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps, of the same sizes.
    temperature: Softens the distributions over positions. Above 0.

  Raises:
    ValueError: if the temperature is not positive or the numbers of taps
      differ; from `init`, if there is no such tap (lists those there are), it
      is no map or the sizes differ.
  """
  loss = functools.partial(channel_wise_loss, temperature=temperature)
  return binding.plain(
    loss, student, teacher, connect=_to_channels, check=_check_size
  )


def pearson_feature(
  *, student: binding.Taps, teacher: binding.Taps
) -> base.LossTransform:
  """`kdjax.losses.pearson_feature_loss`, summed over pairs of maps (PKD).

  Couples the examples of the batch. Through a 1x1 convolution, trained with the
  student, where the channels differ (the paper's detectors agree). Weight 10 on
  one-stage detectors, per level of the pyramid.

  >>> term = pearson_feature(student='stage1', teacher='stage1')
  >>> student = jnp.array([0.0, 1.0, 2.0, 3.0]).reshape(2, 1, 2, 1)
  >>> value(term, {'stage1': student}, {'stage1': -student})
  1.5

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps.

  Raises:
    ValueError: if the numbers of taps differ; from `init`, if there is no such
      tap (lists those there are) or it is no map.
  """

  def loss(source, target, mask):
    return pearson_feature_loss(source, target, mask=mask)

  names = binding.pair_names(student, teacher)
  return binding.summed(
    [binding.Pair(s, t, loss) for s, t in names],
    connect=_to_channels,
    couples=True,
  )


def inter_channel(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
) -> base.LossTransform:
  """`kdjax.losses.inter_channel_loss`, summed over pairs of maps (ICKD).

  Always through a 1x1 convolution and batch norm, trained with the student, as
  in the authors' code. Weight 2.5 on the last stage.

  >>> term = inter_channel(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.ones((2, 4, 4, 3))}
  >>> shapes(term, student, {'stage1': jnp.ones((2, 2, 2, 5))})
  [(5,), (5,), (1, 1, 3, 5)]

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps, of any size.

  Raises:
    ValueError: if the numbers of taps differ; from `init`, if there is no such
      tap (lists those there are) or it is no map.
  """
  return binding.plain(
    inter_channel_loss,
    student,
    teacher,
    connect=lambda _, target, axis_name: NormalisedProjection(
      target.shape[-1], axis_name
    ),
  )


def _to_channels(
  source: jax.Array, target: jax.Array, axis_name: str | None
) -> nn.Module | None:
  """A 1x1 convolution where the channels differ."""
  del axis_name  # has no batch norm
  channels = target.shape[-1]
  return Projection(channels) if source.shape[-1] != channels else None


def _check_size(source: jax.Array, target: jax.Array, pair: tuple) -> None:
  binding.check_equal('size', source.shape[1:3], target.shape[1:3], pair)
