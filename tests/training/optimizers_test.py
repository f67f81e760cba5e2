"""Schedules and updates against numbers worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import training
from kdjax.training.optimizers import SCHEDULES

_PARAMS = {'a': np.array([1.0, -2.0, 0.5]), 'b': np.array([[3.0], [-1.0]])}
_GRADIENTS = [
  {'a': np.array([0.3, -0.4, 1.2]), 'b': np.array([[2.0], [0.7]])},
  {'a': np.array([-0.2, 0.1, 0.9]), 'b': np.array([[-1.5], [0.4]])},
  {'a': np.array([0.05, 0.02, 0.1]), 'b': np.array([[0.1], [-0.1]])},
]


def _float32(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def _run(optimizer, gradients=_GRADIENTS, params=_PARAMS):
  params = _float32(params)
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for gradient in gradients:
    updates, state = update(_float32(gradient), state, params)
    params = optax.apply_updates(params, updates)
  return params


def _assert_close(params, expected):
  for name, value in expected.items():
    np.testing.assert_allclose(params[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'step', 'expected'),
  [
    ('constant', 0, 0.2),
    ('constant', 239, 0.2),
    ('cosine', 0, 0.2),
    ('cosine', 60, 0.2 * (1 + math.sqrt(0.5)) / 2),
    ('cosine', 120, 0.1),
    ('cosine', 240, 0.0),
    ('step', 0, 0.2),
    ('step', 149, 0.2),
    ('step', 150, 0.02),
    ('step', 179, 0.02),
    ('step', 180, 0.002),
    ('step', 209, 0.002),
    ('step', 210, 0.0002),
    ('step', 239, 0.0002),
  ],
)
def test_schedules(name, step, expected):
  schedule = training.make_schedule(name, 0.2, 240)
  for transform in (lambda f: f, jax.jit):
    rate = transform(schedule)(jnp.int32(step))
    np.testing.assert_allclose(rate, expected, rtol=1e-5, atol=1e-8)


def test_steps_fall_at_the_same_fractions_of_any_run():
  schedule = training.make_schedule('step', 1.0, 80)
  rates = [float(schedule(jnp.int32(step))) for step in range(80)]
  np.testing.assert_allclose(
    rates, 50 * [1.0] + 10 * [0.1] + 10 * [0.01] + 10 * [0.001], rtol=1e-5
  )


def test_milestones_are_shares_of_the_run():
  # Epochs 30, 60 and 90 of 100, three steps each; and of 10 epochs at a share
  # that is just below an integer in floating point, 0.29 * 100.
  for milestones, steps, falls in (
    ((0.3, 0.6, 0.9), 300, (90, 180, 270)),
    ((0.29, 0.58), 100, (29, 58)),
    ((0.5,), 7, (3,)),
    ((0.5, 0.6), 3, (1,)),  # both on one step count once
  ):
    schedule = training.make_schedule('step', 1.0, steps, milestones=milestones)
    rates = [float(schedule(jnp.int32(step))) for step in range(steps)]
    expected = [
      0.1 ** sum(step >= fall for fall in falls) for step in range(steps)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


@pytest.mark.parametrize(
  'milestones', [(30, 60, 90), (0.6, 0.3), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5)]
)
def test_milestones_that_are_none(milestones):
  with pytest.raises(ValueError, match='milestones must be above 0, below 1'):
    training.make_schedule('step', 1.0, 100, milestones=milestones)


@pytest.mark.parametrize(
  ('name', 'step', 'expected'),
  [
    *((name, 0, 0.0) for name in SCHEDULES),
    *((name, 15, 0.05) for name in SCHEDULES),
    *((name, 60, 0.2) for name in SCHEDULES),
    ('constant', 299, 0.2),
    ('cosine', 120, 0.2 * (1 + math.sqrt(0.5)) / 2),
    ('cosine', 180, 0.1),
    ('cosine', 300, 0.0),
    ('step', 209, 0.2),
    ('step', 210, 0.02),
    ('step', 240, 0.002),
    ('step', 270, 0.0002),
  ],
)
def test_the_schedule_takes_the_steps_after_the_warmup(name, step, expected):
  schedule = training.make_schedule(name, 0.2, 300, warmup_steps=60)
  for transform in (lambda f: f, jax.jit):
    rate = transform(schedule)(jnp.int32(step))
    np.testing.assert_allclose(rate, expected, rtol=1e-5, atol=1e-8)


def test_no_warmup_is_the_schedule_of_optax():
  schedule = training.make_schedule('cosine', 0.2, 240, warmup_steps=0)
  known = optax.schedules.cosine_decay_schedule(0.2, 240)
  for step in (0, 1, 100, 239):
    assert float(schedule(jnp.int32(step))) == float(known(np.float32(step)))


@pytest.mark.parametrize('warmup', [-1, 10, 11])
def test_a_warmup_leaves_steps(warmup):
  with pytest.raises(ValueError, match=f'warmup_steps.*0 and 9, got {warmup}'):
    training.make_schedule('cosine', 0.2, 10, warmup_steps=warmup)


def _numpy_sgd(rates, *, weight_decay=0.0, clip=math.inf, nesterov=True):
  params = {name: value.copy() for name, value in _PARAMS.items()}
  momentum = {name: np.zeros_like(value) for name, value in params.items()}
  for rate, gradient in zip(rates, _GRADIENTS, strict=True):
    norm = math.sqrt(sum((g**2).sum() for g in gradient.values()))
    scale = min(1.0, clip / norm)
    for name in params:
      g = scale * gradient[name] + weight_decay * params[name]
      momentum[name] = g + 0.9 * momentum[name]
      step = g + 0.9 * momentum[name] if nesterov else momentum[name]
      params[name] -= rate * step
  return params


def test_sgd_has_nesterov_momentum():
  optimizer = training.make_optimizer('sgd', 0.1)
  _assert_close(_run(optimizer), _numpy_sgd([0.1] * 3))


def test_momentum_is_plain():
  optimizer = training.make_optimizer('momentum', 0.1, weight_decay=0.05)
  expected = _numpy_sgd([0.1] * 3, weight_decay=0.05, nesterov=False)
  _assert_close(_run(optimizer), expected)


def test_sgd_adds_weight_decay_to_the_gradient():
  optimizer = training.make_optimizer('sgd', 0.1, weight_decay=0.05)
  _assert_close(_run(optimizer), _numpy_sgd([0.1] * 3, weight_decay=0.05))


def test_gradients_are_clipped_before_the_decay():
  # The third gradient is within the norm and stays as it is.
  optimizer = training.make_optimizer(
    'sgd', 0.1, weight_decay=0.05, clip_norm=0.5
  )
  expected = _numpy_sgd([0.1] * 3, weight_decay=0.05, clip=0.5)
  _assert_close(_run(optimizer), expected)


def test_a_schedule_sets_the_rate_of_every_step():
  schedule = training.make_schedule('cosine', 0.2, 3)
  rates = [0.1 * (1 + math.cos(math.pi * step / 3)) for step in range(3)]
  _assert_close(
    _run(training.make_optimizer('sgd', schedule)), _numpy_sgd(rates)
  )


def test_adam_decouples_the_decay():
  expected = {name: value.copy() for name, value in _PARAMS.items()}
  for name in expected:
    first = second = np.zeros_like(expected[name])
    for step, gradient in enumerate(_GRADIENTS, start=1):
      g = gradient[name]
      first = 0.9 * first + 0.1 * g
      second = 0.999 * second + 0.001 * g**2
      ratio = (first / (1 - 0.9**step)) / (
        np.sqrt(second / (1 - 0.999**step)) + 1e-8
      )
      expected[name] = expected[name] - 0.01 * (ratio + 0.1 * expected[name])
  optimizer = training.make_optimizer('adam', 0.01, weight_decay=0.1)
  _assert_close(_run(optimizer), expected)


@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_unreached_parameters_stay_untouched(name):
  inner = training.make_optimizer(name, 0.1, weight_decay=0.05)
  gradients = [{**g, 'b': np.zeros((2, 1))} for g in _GRADIENTS]
  frozen = _run(training.freeze_unreached(inner), gradients)
  moved = _run(inner, gradients)
  np.testing.assert_array_equal(frozen['b'], np.float32(_PARAMS['b']))
  assert not np.array_equal(moved['b'], frozen['b'])
  np.testing.assert_array_equal(frozen['a'], moved['a'])


def test_momentum_does_not_move_what_is_no_longer_reached():
  optimizer = training.freeze_unreached(training.make_optimizer('sgd', 0.1))
  once = _run(optimizer, _GRADIENTS[:1])
  zeros = jax.tree.map(np.zeros_like, _PARAMS)
  again = _run(optimizer, [_GRADIENTS[0], zeros])
  jax.tree.map(np.testing.assert_array_equal, again, once)


def test_zeros_within_a_reached_parameter_still_move():
  gradient = {'a': np.array([0.0, 0.0, 1.0]), 'b': np.ones((2, 1))}
  inner = training.make_optimizer('sgd', 0.1, weight_decay=0.05)
  params = _run(training.freeze_unreached(inner), [gradient])
  assert np.all(np.asarray(params['a']) != np.float32(_PARAMS['a']))


def test_unknown_names_list_the_known_ones():
  with pytest.raises(ValueError, match=r"schedule.*cosine.*got 'linear'"):
    training.make_schedule('linear', 0.1, 10)
  with pytest.raises(ValueError, match=r"optimizer.*sgd.*adam.*got 'lamb'"):
    training.make_optimizer('lamb', 0.1)
