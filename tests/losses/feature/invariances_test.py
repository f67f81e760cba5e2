"""What the feature losses do not see: order, scale, shift."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax.losses.feature.activation_boundary import activation_boundary_loss
from kdjax.losses.feature.attention import attention_transfer_loss
from kdjax.losses.feature.channel_wise import channel_wise_loss
from kdjax.losses.feature.factor_transfer import factor_transfer_loss
from kdjax.losses.feature.inter_channel import inter_channel_loss
from kdjax.losses.feature.neuron_selectivity import (
  gaussian_neuron_selectivity_loss,
  linear_neuron_selectivity_loss,
  polynomial_neuron_selectivity_loss,
)
from kdjax.losses.feature.pearson import pearson_feature_loss

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

MAPS = [
  attention_transfer_loss,
  factor_transfer_loss,
  linear_neuron_selectivity_loss,
  polynomial_neuron_selectivity_loss,
  gaussian_neuron_selectivity_loss,
]


@functools.cache
def compiled(loss):
  return jax.jit(loss)


def assert_unchanged(loss, change_student, change_teacher):
  generator = np.random.default_rng(0)
  s = jnp.float32(generator.normal(size=(2, 3, 4, 3)))
  t = jnp.float32(generator.normal(size=(2, 3, 4, 3)))
  before = compiled(loss)(s, t)
  after = compiled(loss)(change_student(s), change_teacher(t))
  np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-6)


def same(x):
  return x


def channels_reversed(x):
  return x[..., ::-1]


def rows_reversed(x):
  return x[:, ::-1]


@pytest.mark.parametrize('loss', MAPS)
def test_order_of_channels(loss):
  assert_unchanged(loss, channels_reversed, same)
  assert_unchanged(loss, same, channels_reversed)


@pytest.mark.parametrize('loss', [inter_channel_loss, channel_wise_loss])
def test_one_order_of_the_channels_of_both(loss):
  assert_unchanged(loss, channels_reversed, channels_reversed)


@pytest.mark.parametrize(
  'loss', [*MAPS, inter_channel_loss, pearson_feature_loss]
)
def test_scale(loss):
  assert_unchanged(loss, lambda x: 7 * x, lambda x: 0.1 * x)


def test_activation_boundaries_have_no_scale():
  assert_unchanged(activation_boundary_loss, same, lambda x: 7 * x)


def test_order_of_positions():
  assert_unchanged(inter_channel_loss, rows_reversed, same)


@pytest.mark.parametrize(
  'loss', [*MAPS, channel_wise_loss, pearson_feature_loss]
)
def test_one_order_of_the_positions_of_both(loss):
  assert_unchanged(loss, rows_reversed, rows_reversed)


@pytest.mark.parametrize('loss', [channel_wise_loss, pearson_feature_loss])
def test_shift_of_a_channel(loss):
  shift = jnp.array([3.0, -5.0, 0.5]).reshape(1, 1, 1, 3)
  assert_unchanged(loss, lambda x: x + shift, lambda x: x - shift)


def test_order_of_examples():
  assert_unchanged(pearson_feature_loss, lambda x: x[::-1], lambda x: x[::-1])
