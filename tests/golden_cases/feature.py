"""Golden cases of the feature losses: mean over the batch, as in the peers.

Hyperparameters are those of `reference_losses.json`; every shape comes from
the arrays.
"""

import jax
import jax.numpy as jnp

from kdjax.losses.feature.activation_boundary import activation_boundary_loss
from kdjax.losses.feature.attention import attention_transfer_loss
from kdjax.losses.feature.channel_wise import channel_wise_loss
from kdjax.losses.feature.factor_transfer import factor_transfer_loss
from kdjax.losses.feature.fsp import fsp_loss
from kdjax.losses.feature.hierarchical_context import hierarchical_context_loss
from kdjax.losses.feature.hints import hint_loss
from kdjax.losses.feature.inter_channel import inter_channel_loss
from kdjax.losses.feature.maps import to_common_size
from kdjax.losses.feature.neuron_selectivity import (
  polynomial_neuron_selectivity_loss,
)
from kdjax.losses.feature.overhaul import overhaul_loss
from kdjax.losses.feature.pearson import pearson_feature_loss
from kdjax.losses.feature.variational import (
  initial_log_scale,
  variational_information_loss,
)


def _hint(student, teacher, extra):
  return jnp.mean(hint_loss(student['f'], teacher['f'], mean_squared=True))


def _attention_transfer(student, teacher, extra):
  return jnp.mean(attention_transfer_loss(student['f'], teacher['f'], p=2))


def _factor_transfer(student, teacher, extra):
  return jnp.mean(factor_transfer_loss(student['f'], teacher['f'], p1=2, p2=1))


def _nst(student, teacher, extra):
  loss = polynomial_neuron_selectivity_loss(
    student['f'], teacher['f'], degree=2, offset=0.0
  )
  return jnp.mean(loss)


def _fsp(student, teacher, extra):
  loss = fsp_loss(
    (student['bottom'], student['top']), (teacher['bottom'], teacher['top'])
  )
  return jnp.mean(loss)


def _activation_boundary(student, teacher, extra):
  stages = sorted(student, key=lambda name: int(name[1:]))
  total = 0.0
  for i, name in enumerate(stages):
    # The benchmark's weights: halved for each earlier stage, times 3/1000.
    weight = 2.0 ** (i - len(stages) + 1) * 3 / 1000
    total += weight * jnp.mean(
      activation_boundary_loss(student[name], teacher[name], margin=1.0)
    )
  return total


def _overhaul(student, teacher, extra):
  margin = jnp.reshape(extra['margin'], -1)
  return jnp.mean(overhaul_loss(student['f'], teacher['f'], margin))


def _hierarchical_context(student, teacher, extra):
  return sum(
    jnp.mean(
      hierarchical_context_loss(student[name], teacher[name], levels=(4, 2, 1))
    )
    for name in student
  )


def _channel_wise(student, teacher, extra):
  return jnp.mean(
    channel_wise_loss(student['f'], teacher['f'], temperature=2.0)
  )


def _pearson(student, teacher, extra):
  return pearson_feature_loss(student['f'], teacher['f'])


def _inter_channel(student, teacher, extra):
  # torchdistill divides by the batch size twice.
  loss = inter_channel_loss(student['f'], teacher['f'])
  return jnp.mean(loss) / loss.shape[0]


def _vid(student, teacher, extra):
  x, target = to_common_size(student['f'], teacher['f'])
  layers = [extra[name] for name in sorted(extra, key=lambda n: int(n[1:]))]
  for i, kernel in enumerate(layers):
    x = jnp.matmul(x, kernel, precision=jax.lax.Precision.HIGHEST)
    x = jax.nn.relu(x) if i < len(layers) - 1 else x
  log_scale = jnp.full(
    target.shape[-1:], initial_log_scale(5.0, eps=1e-5), target.dtype
  )
  loss = variational_information_loss(x, target, log_scale, eps=1e-5)
  return jnp.mean(loss)


CASES = {
  'hint_mse': _hint,
  'attention_transfer': _attention_transfer,
  'attention_transfer_pooled': _attention_transfer,
  'factor_transfer': _factor_transfer,
  'nst_poly': _nst,
  'fsp': _fsp,
  'activation_boundary': _activation_boundary,
  'overhaul_margin': _overhaul,
  'hierarchical_context': _hierarchical_context,
  'channel_wise_T2': _channel_wise,
  'pearson_feature': _pearson,
  'inter_channel_correlation': _inter_channel,
  'vid': _vid,
}
