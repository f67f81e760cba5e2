"""Transforms of losses on pre-activations: AB and the overhaul (OFD).

Taps are maps before their ReLU (`stage1/preactivation`), vectors count as maps
of one position.
"""

from collections.abc import Mapping

import chex
import flax.linen as nn
import jax

from kdjax.losses import contract
from kdjax.losses.feature.activation_boundary import activation_boundary_loss
from kdjax.losses.feature.overhaul import overhaul_loss, overhaul_margin
from kdjax.transforms import base
from kdjax.transforms.connectors import BoundaryConnector, NormalisedProjection
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(margin=contract.NOT_NEGATIVE)
def activation_boundary(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  margin: Number = 1.0,
) -> base.LossTransform:
  """`kdjax.losses.activation_boundary_loss` of pairs of pre-activations (AB).

  `sum_i 2^(i - n) loss_i` over the pairs `i = 1, ..., n`: the last has weight
  1 and each earlier one half of the next, as published. Where size or channels
  differ the student passes a `BoundaryConnector`, trained with it.

  Weight 3/1000; the published schedule minimises this loss alone first and
  trains the task afterwards without it.

  >>> term = activation_boundary(student='stage1', teacher='stage1')
  >>> student = {'stage1': jnp.array([2.0, -0.5]).reshape(1, 1, 1, 2)}
  >>> value(term, student, {'stage1': jnp.ones((1, 1, 1, 2))})
  2.25

  Args:
    student: Name of the student's pre-activation, or names of several, shallow
      first.
    teacher: As many names of the teacher's.
    margin: How far beyond the boundary the student must be. Not negative.

  Raises:
    ValueError: if the margin is negative or the numbers of taps differ; from
      `init`, if there is no such tap (lists those there are), it is no map, or
      the student's is smaller otherwise than by half.
  """

  def loss(source, target, mask):
    del mask
    return activation_boundary_loss(source, target, margin=margin)

  def connect(source, target, axis_name) -> nn.Module | None:
    if source.shape[1:] == target.shape[1:]:
      return None
    height, width, channels = target.shape[1:]
    return BoundaryConnector((height, width, channels), axis_name)

  names = binding.pair_names(student, teacher)
  pairs = [
    binding.Pair(s, t, loss, weight)
    for (s, t), weight in zip(names, _doubling(len(names)), strict=True)
  ]
  return binding.summed(pairs, connect=connect)


def overhaul(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  margins: Mapping[str, chex.Array],
) -> base.LossTransform:
  """`kdjax.losses.overhaul_loss` of pairs of pre-activations (OFD).

  `sum_i 2^(i - n) loss_i` over the pairs `i = 1, ..., n`: the last has weight
  1 and each earlier one half of the next, as published. The student passes a
  1x1 convolution and batch norm, trained with it. Weight 1e-3 on CIFAR.

  ```python
  margins = overhaul_margins(
      teacher_variables.params,
      {'stage3/preactivation': 'stage3/block3/layer2/norm'},
  )
  loss = overhaul(
      student='stage3/preactivation',
      teacher='stage3/preactivation',
      margins=margins,
  )
  ```

  >>> margins = {'stage1': jnp.array([-0.5, -0.5, -0.5])}
  >>> term = overhaul(student='stage1', teacher='stage1', margins=margins)
  >>> student = {'stage1': jnp.ones((2, 4, 4, 2))}
  >>> shapes(term, student, {'stage1': jnp.ones((2, 4, 4, 3))})
  [(3,), (3,), (1, 1, 2, 3)]

  Args:
    student: Name of the student's pre-activation, or names of several, shallow
      first.
    teacher: As many names of the teacher's.
    margins: By each of the teacher's names the margins of its channels, shape
      `[channels]`, not positive; constants.

  Raises:
    ValueError: if the numbers of taps differ or a margin is missing; from
      `init`, if there is no such tap (lists those there are), it is no map, or
      there are not as many margins as channels.
  """
  names = binding.pair_names(student, teacher)
  for _, name in names:
    if name not in margins:
      raise ValueError(
        f'margins must hold {name!r}, got those of {", ".join(margins)}.'
      )

  def loss_of(name):
    def loss(source, target, mask):
      del mask
      return overhaul_loss(source, target, margins[name])

    return loss

  def check(source, target, pair):
    del source
    if margins[pair[1]].shape != target.shape[-1:]:
      raise ValueError(
        f'margins must hold {target.shape[-1:]} for {pair[1]!r}, got '
        f'{margins[pair[1]].shape}.'
      )

  pairs = [
    binding.Pair(s, t, loss_of(t), weight)
    for (s, t), weight in zip(names, _doubling(len(names)), strict=True)
  ]
  return binding.summed(
    pairs,
    connect=lambda _, target, axis_name: NormalisedProjection(
      target.shape[-1], axis_name, normal_init=True
    ),
    check=check,
  )


def overhaul_margins(
  params: Mapping, paths: Mapping[str, str]
) -> dict[str, jax.Array]:
  """Margins of the teacher's pre-activations, from its batch norms.

  >>> params = {'norm': {'scale': jnp.ones(1), 'bias': jnp.zeros(1)}}
  >>> margins = overhaul_margins(params, {'stage1': 'norm'})
  >>> print(f'{margins["stage1"][0]:.4f}')
  -0.7979

  Args:
    params: The teacher's parameters, nested by name.
    paths: By the name of a tap the path of the last batch norm before it,
      whose parameters are `scale` and `bias`: `'stage3/block3/layer2/norm'`
      for `'stage3/preactivation'` of a ResNet of three blocks per stage,
      `'stage3/layer2/norm'` of a ConvNet of two layers. (A residual stage adds
      its shortcut after that batch norm; the published code neglects it too.)

  Returns:
    By the name of a tap `overhaul_margin(scale, bias)`, shape `[channels]`.

  Raises:
    ValueError: if there is no `scale` and `bias` at a path.
  """
  margins = {}
  for name, path in paths.items():
    node = params
    for part in path.split('/'):
      node = node.get(part, {}) if isinstance(node, Mapping) else {}
    if not (isinstance(node, Mapping) and {'scale', 'bias'} <= set(node)):
      raise ValueError(
        f'paths must lead to a batch norm with scale and bias, got {path!r} '
        f'for {name!r}.'
      )
    margins[name] = overhaul_margin(node['scale'], node['bias'])
  return margins


def _doubling(count: int) -> list[float]:
  """`2^(i - n)` for `i = 1, ..., n`."""
  return [2.0 ** (i - count) for i in range(1, count + 1)]
