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


def test_an_estimate_by_hand():
  model = models.from_linen(models.ConvNet((4,), (1,), 3))
  batch = {'image': jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)}
  found = deploy.estimate(model, batch)
  assert found.parameters == 9 * 4 + 4 + 4 + 4 * 3 + 3
  assert found.bytes == 4 * (found.parameters + 4 + 4)
  # Of the 64 pixels' 9 neighbours, those beyond the border are not multiplied.
  products = (3 * 8 - 2) ** 2 * 4 + 4 * 3
  # Norm, ReLU and mean take at most 8 operations for each of 64 * 4 values.
  assert 2 * products < found.flops_per_example < 2 * products + 8 * 64 * 4


@pytest.mark.parametrize('name', ['cnn_student', 'resnet8', 'wrn16_1'])
def test_an_estimate_is_close_to_what_the_compiler_counts(name):
  model = models.create(name, classes=10)
  batch = {'image': jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)}
  variables = jax.jit(model.init)(jax.random.key(0), _zeros(batch))
  cost = deploy.measure(model, variables, batch, batch_size=1, repeats=1)
  found = deploy.estimate(model, batch)
  assert found.flops_per_example == pytest.approx(
    cost.flops_per_example, rel=0.05
  )
  assert (found.parameters, found.bytes) == (cost.parameters, cost.bytes)


def _zeros(batch):
  return {name: jnp.zeros(x.shape, x.dtype) for name, x in batch.items()}


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
