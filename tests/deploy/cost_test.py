"""What a model costs, against sums done by hand."""

import time

import jax
import jax.numpy as jnp
import pytest

from kdjax import deploy, models

_BATCH = {'image': jnp.zeros((2, 8, 8, 1))}


def test_a_perceptrons_cost_by_hand():
  model = models.from_linen(models.MLP((32, 16), 10))
  variables = jax.jit(model.init)(jax.random.key(0), _BATCH)
  cost = deploy.measure(model, variables, _BATCH, batch_size=16, repeats=3)
  products = 64 * 32 + 32 * 16 + 16 * 10
  assert cost.parameters == products + 32 + 16 + 10
  assert cost.bytes == 4 * cost.parameters
  # Two operations a product, and a little for biases and ReLUs.
  assert 2 * products <= cost.flops_per_example < 2.1 * products
  assert 0 < cost.seconds_per_example < 1


def test_flops_do_not_depend_on_the_batch():
  model = models.from_linen(models.MLP((32,), 10))
  variables = jax.jit(model.init)(jax.random.key(0), _BATCH)
  flops = [
    deploy.measure(
      model, variables, _BATCH, batch_size=size, repeats=1
    ).flops_per_example
    for size in (8, 32)
  ]
  assert flops[0] == pytest.approx(flops[1], rel=1e-3)


def test_a_network_may_answer_without_logits():
  model = models.from_function(
    lambda params, x: {'prediction': x.reshape(x.shape[0], -1) @ params},
    jnp.ones((64, 3)),
  )
  variables = model.init(None, None)
  cost = deploy.measure(model, variables, _BATCH, batch_size=4, repeats=1)
  assert cost.flops_per_example == pytest.approx(2 * 64 * 3, rel=0.1)


def test_batch_statistics_weigh_but_are_not_trained():
  model = models.from_linen(models.ConvNet((4,), (1,), 3))
  variables = jax.jit(model.init)(jax.random.key(0), _BATCH)
  cost = deploy.measure(model, variables, _BATCH, batch_size=4, repeats=1)
  # Kernel, scale and bias of the norm, head; then mean and variance.
  assert cost.parameters == 9 * 4 + 4 + 4 + 4 * 3 + 3
  assert cost.bytes == 4 * (cost.parameters + 4 + 4)


def test_the_time_is_the_median_of_the_repeats(monkeypatch):
  model = models.from_function(
    lambda params, x: x.reshape(x.shape[0], -1) @ params, jnp.ones((4, 3))
  )
  variables = model.init(None, None)
  ticks = iter([0.0, 1.0, 10.0, 11.5, 20.0, 90.0])
  monkeypatch.setattr(time, 'perf_counter', lambda: next(ticks))
  cost = deploy.measure(
    model,
    variables,
    {'image': jnp.zeros((1, 2, 2, 1))},
    batch_size=5,
    repeats=3,
  )
  assert cost.seconds_per_example == pytest.approx(1.5 / 5)
