"""Feature losses through trained connectors."""

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import transforms
from kdjax.losses.feature import activation_boundary as boundary_losses
from kdjax.losses.feature import channel_wise as channel_losses
from kdjax.losses.feature import fsp as fsp_losses
from kdjax.losses.feature import hierarchical_context as context_losses
from kdjax.losses.feature import inter_channel as correlation_losses
from kdjax.losses.feature import maps
from kdjax.losses.feature import overhaul as overhaul_losses
from kdjax.losses.feature import pearson as pearson_losses
from kdjax.losses.feature import variational as variational_losses
from kdjax.transforms import connectors

_MARGINS = {'a': np.float32([-0.1, -0.5, -1, -2, -0.3])}


def _project(params, x):
  conv = params['projection']['conv']
  projected = jnp.einsum('bhwc,cd->bhwd', x, conv['kernel'][0, 0])
  bias = conv.get('bias', jnp.zeros(projected.shape[-1]))
  return projected + bias.reshape(1, 1, 1, -1)


def _normalise(params, x):
  mean = x.mean((0, 1, 2), keepdims=True)
  variance = x.var((0, 1, 2), keepdims=True)
  scale, bias = (
    params['norm'][name].reshape(1, 1, 1, -1) for name in ('scale', 'bias')
  )
  return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias


def _run(module, params, *inputs, **options):
  """A stateful module in training, without its new state."""
  result, _ = module.apply(
    {'params': params}, *inputs, mutable=['batch_stats'], **options
  )
  return result


def _fsp(params, s, t):
  s = [
    _project(params['tap1'], s['a']),
    s['b'],
    _project(params['tap3'], s['c']),
  ]
  t = [t['a'], t['b'], t['c']]
  return sum(
    fsp_losses.fsp_loss((s[i], s[i + 1]), (t[i], t[i + 1])) for i in (0, 1)
  )


def _boundaries(params, s, t):
  first = _run(connectors.BoundaryConnector((2, 2, 5)), params['pair1'], s['a'])
  loss = boundary_losses.activation_boundary_loss
  return loss(first, t['a'], margin=0.5) / 2 + loss(s['b'], t['b'], margin=0.5)


def _review(params, s, t):
  targets = [t['a'], t['e'][:, None, None]]
  shapes = tuple(x.shape[1:] for x in targets)
  inputs = [s['a'], s['e'][:, None, None]]
  outputs = _run(connectors.ReviewFusion(shapes, 3), params, inputs)
  losses = map(context_losses.hierarchical_context_loss, outputs, targets)
  return sum(losses)


def _variational(params, s, t):
  own = params['pair1']
  x = maps.average_pool(s['a'], (2, 2))
  for i in (1, 2, 3):
    x = x @ own[f'layer{i}']['conv']['kernel'][0, 0]
    x = jax.nn.relu(x) if i < 3 else x
  return variational_losses.variational_information_loss(
    x, t['a'], own['log_scale']
  )


# name: (transform, student's shapes, teacher's shapes, by hand, has state);
# by hand: `(params, student, teacher) -> losses`.
CASES = {
  'fsp': (
    transforms.fsp(student=('a', 'b', 'c'), teacher=('a', 'b', 'c')),
    {'a': (4, 4, 3), 'b': (2, 2, 4), 'c': (2, 2, 2)},
    {'a': (4, 4, 5), 'b': (2, 2, 4), 'c': (2, 2, 6)},
    _fsp,
    False,
  ),
  'channel_wise': (
    transforms.channel_wise(student='a', teacher='a', temperature=2.0),
    {'a': (3, 2, 3)},
    {'a': (3, 2, 5)},
    lambda params, s, t: channel_losses.channel_wise_loss(
      _project(params['pair1'], s['a']), t['a'], temperature=2.0
    ),
    False,
  ),
  'pearson': (
    transforms.pearson_feature(student=('a', 'e'), teacher=('a', 'e')),
    {'a': (3, 2, 3), 'e': (4,)},
    {'a': (2, 2, 5), 'e': (4,)},
    lambda params, s, t: (
      pearson_losses.pearson_feature_loss(
        _project(params['pair1'], s['a']), t['a']
      )
      + pearson_losses.pearson_feature_loss(
        s['e'][:, None, None], t['e'][:, None, None]
      )
    ),
    False,
  ),
  'inter_channel': (
    transforms.inter_channel(student='a', teacher='a'),
    {'a': (4, 4, 3)},
    {'a': (2, 2, 5)},
    lambda params, s, t: correlation_losses.inter_channel_loss(
      _normalise(params['pair1'], _project(params['pair1'], s['a'])), t['a']
    ),
    True,
  ),
  'activation_boundary': (
    transforms.activation_boundary(
      student=('a', 'b'), teacher=('a', 'b'), margin=0.5
    ),
    {'a': (4, 4, 3), 'b': (2, 2, 4)},
    {'a': (2, 2, 5), 'b': (2, 2, 4)},
    _boundaries,
    True,
  ),
  'overhaul': (
    transforms.overhaul(student='a', teacher='a', margins=_MARGINS),
    {'a': (4, 4, 3)},
    {'a': (2, 2, 5)},
    lambda params, s, t: overhaul_losses.overhaul_loss(
      _normalise(params['pair1'], _project(params['pair1'], s['a'])),
      t['a'],
      _MARGINS['a'],
    ),
    True,
  ),
  'review': (
    transforms.review(student=('a', 'e'), teacher=('a', 'e')),
    {'a': (4, 4, 4), 'e': (3,)},
    {'a': (5, 5, 4), 'e': (6,)},
    _review,
    True,
  ),
  'variational': (
    transforms.variational_information(student='a', teacher='a', width=6),
    {'a': (4, 4, 3)},
    {'a': (2, 2, 5)},
    _variational,
    False,
  ),
}
