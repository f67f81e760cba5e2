"""What holds for every feature loss: examples, precision, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdjax.losses.feature import (
  activation_boundary,
  attention,
  attention_matrices,
  attention_relations,
  channel_wise,
  factor_transfer,
  fsp,
  hierarchical_context,
  inter_channel,
  masked_generative,
  neuron_selectivity,
  overhaul,
  pearson,
  simkd,
  variational,
  vitkd,
)

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def two_layers(x):
  return x[..., :1], x[:, ::2, ::2]


def tokens(x):
  return x.reshape(x.shape[0], -1, x.shape[-1])


def overhaul_of(s, t):
  # The margin ReLU of the teacher is the student's target.
  return overhaul.overhaul_loss(s, t, jnp.full(s.shape[-1:], -0.5))


def variational_of(s, t):
  return variational.variational_information_loss(
    s, t, jnp.full(s.shape[-1:], 0.3)
  )


def scores_of(loss):
  def of_scores(s, t):
    s, t = (jnp.moveaxis(tokens(x), -1, 1) for x in (s, t))
    s, t = (x[..., None] - x[..., None, :] for x in (s, t))
    return loss(s, t)

  return of_scores


# Each as a function of two maps `[batch, height, width, channels]`.
LOSSES = {
  'attention': attention.attention_transfer_loss,
  'attention_paper': functools.partial(
    attention.attention_transfer_loss, unsquared_norm=True
  ),
  'factor': factor_transfer.factor_transfer_loss,
  'factor_whole': functools.partial(
    factor_transfer.factor_transfer_loss, whole_factors=True
  ),
  'nst_linear': neuron_selectivity.linear_neuron_selectivity_loss,
  'nst_polynomial': neuron_selectivity.polynomial_neuron_selectivity_loss,
  'nst_gaussian': neuron_selectivity.gaussian_neuron_selectivity_loss,
  'fsp': lambda s, t: fsp.fsp_loss(two_layers(s), two_layers(t)),
  'boundary': activation_boundary.activation_boundary_loss,
  'overhaul': overhaul_of,
  'context': hierarchical_context.hierarchical_context_loss,
  'channel_wise': channel_wise.channel_wise_loss,
  'pearson': pearson.pearson_feature_loss,
  'inter_channel': inter_channel.inter_channel_loss,
  'variational': variational_of,
  'masked_generative': masked_generative.masked_generative_loss,
  'simkd': simkd.simkd_loss,
  'vitkd_mimicking': lambda s, t: vitkd.vitkd_mimicking_loss(
    tokens(s), tokens(t)
  ),
  'vitkd_generation': lambda s, t: vitkd.vitkd_generation_loss(
    tokens(s), tokens(t), np.ones(tokens(t).shape[:2])
  ),
  'distribution': scores_of(attention_relations.attention_distribution_loss),
  'matrix': scores_of(attention_matrices.attention_matrix_loss),
  'minilm': lambda s, t: attention_relations.minilm_loss(
    (tokens(s),) * 3, (tokens(t),) * 3, heads=1
  ),
  'minilmv2': lambda s, t: attention_relations.minilmv2_loss(
    (tokens(s),) * 3, (tokens(t),) * 3, relation_heads=1
  ),
}
COUPLED = {'pearson'}


@functools.cache
def compiled(name):
  """Loss and gradient of the total with respect to the student, jitted."""

  def both(s, t):
    def total(s):
      loss = LOSSES[name](s, t)
      return jnp.sum(loss), loss

    (_, loss), gradient = jax.value_and_grad(total, has_aux=True)(s)
    return loss, gradient

  return jax.jit(both)


def normal(seed, shape=(3, 4, 4, 2)):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


every_loss = pytest.mark.parametrize('name', LOSSES)


@every_loss
def test_value_does_not_depend_on_jit(name):
  s, t = normal(0), normal(1)
  loss, _ = compiled(name)(s, t)
  eager = LOSSES[name](jnp.asarray(s), jnp.asarray(t))
  assert loss.shape == (() if name in COUPLED else (3,))
  assert loss.dtype == eager.dtype == jnp.float32
  np.testing.assert_allclose(eager, loss, rtol=1e-5, atol=1e-6)


@every_loss
def test_example_alone_is_the_example_in_the_batch(name):
  if name in COUPLED:
    pytest.skip('couples the examples')
  s, t = normal(0), normal(1)
  alone = jax.jit(jax.vmap(LOSSES[name]))(s[:, None], t[:, None])
  together, _ = compiled(name)(s, t)
  np.testing.assert_allclose(alone[:, 0], together, rtol=1e-5, atol=1e-6)


@every_loss
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1e-2, 1.0, 30.0]))
def test_least_at_the_teacher(name, seed, scale):
  s, t = scale * normal(seed), scale * normal(seed + 1)
  loss, _ = compiled(name)(s, t)
  if name == 'overhaul':
    least, _ = compiled(name)(np.maximum(t, -0.5), t)
  elif name == 'boundary':
    least, _ = compiled(name)(np.where(t > 0, 1, -1).astype(np.float32), t)
  else:
    least, _ = compiled(name)(t, t)
  tolerance = 1e-6 * (1 + np.max(np.abs(loss)))
  assert (np.asarray(loss) >= np.asarray(least) - tolerance).all()
  if name != 'variational':
    np.testing.assert_allclose(least, 0, atol=tolerance)


def adversarial(seed):
  """Float32 maps of student and teacher by the name of what is wrong."""
  s, t = normal(seed), normal(seed + 1)
  zeros = np.zeros_like(s)
  constant = np.full_like(s, 1e4 / 3)
  large = np.where(s > 0, 1e4, -1e4).astype(np.float32)
  return {
    'zeros': (zeros, zeros),
    'zero student': (zeros, t),
    'zero teacher': (s, zeros),
    'dead channel': (s * np.array([1, 0], np.float32), t),
    'constant student': (constant, t),
    'constant teacher': (s, constant),
    'constants': (constant, 2 * constant),
    'large student': (large, t),
    'large both': (large, -large),
    'large and opposite': (np.roll(large, 1, axis=2), large),
    'small student': (np.float32(1e-4) * s, t),
    'equal': (t, t),
    'duplicate examples': (s[[0, 0, 0]], t[[1, 1, 1]]),
    'duplicate channels': (s[..., [0, 0]], t[..., [1, 1]]),
  }


@every_loss
def test_adversarial_inputs(name):
  for kind, (s, t) in adversarial(7).items():
    loss, gradient = compiled(name)(s, t)
    assert np.isfinite(loss).all(), kind
    assert np.isfinite(gradient).all(), kind
    with jax.enable_x64(True):
      exact, _ = compiled(name)(s.astype(np.float64), t.astype(np.float64))
      assert exact.dtype == jnp.float64
    np.testing.assert_allclose(loss, exact, rtol=1e-4, atol=1e-4, err_msg=kind)


@every_loss
def test_one_example_one_position_one_channel(name):
  shape = (1, 1, 1, 1)
  for s in (normal(0, shape), np.zeros(shape, np.float32)):
    loss, gradient = compiled(name)(s, normal(1, shape))
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()


@every_loss
def test_bfloat16_accumulates_in_float32(name):
  # Eighths: the scores, which are differences of them, are bfloat16 exactly.
  s, t = (
    jnp.asarray(np.round(8 * normal(i)) / 8, jnp.bfloat16) for i in (0, 1)
  )
  loss = jax.jit(LOSSES[name])(s, t)
  wide, _ = compiled(name)(s.astype(jnp.float32), t.astype(jnp.float32))
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, wide, rtol=1e-5, atol=1e-6)
  _, gradient = jax.eval_shape(compiled(name), s, t)
  assert gradient.dtype == jnp.bfloat16


@every_loss
def test_gradient_against_differences(name):
  s, t, direction = (normal(i).astype(np.float64) for i in (3, 4, 5))
  step = 1e-6
  with jax.enable_x64(True):
    _, gradient = compiled(name)(s, t)
    after, _ = compiled(name)(s + step * direction, t)
    before, _ = compiled(name)(s - step * direction, t)
    slope = np.sum(after - before) / (2 * step)
    expected = np.sum(gradient * direction)
  np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-8)
