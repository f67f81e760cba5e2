"""Skew, alpha-beta, interpolated and adaptive divergences; all in chunks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from references import response as reference

from kdjax import losses

_RNG = np.random.default_rng(0)
STUDENT = 2 * _RNG.normal(size=(6, 5))
TEACHER = 2 * _RNG.normal(size=(6, 5))
INDICES = _RNG.integers(0, 5, size=(6, 4)).astype(np.int32)
WEIGHTS = _RNG.uniform(0.1, 0.5, size=(6, 4))

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

# By hand: p = (.5, .3, .2) and q reversed.
P = np.log([[0.5, 0.3, 0.2]])
Q = P[:, ::-1]

_alpha_beta = losses.alpha_beta_loss

# Name: (loss of two networks, its loop), both of (student, teacher, T).
BOTH = {
  'skew': (
    functools.partial(losses.skew_kl_loss, skew=0.3),
    lambda s, t, temperature: reference.skew_kl(t, s, 0.3, temperature),
  ),
  'skew reverse': (
    losses.skew_reverse_kl_loss,
    lambda s, t, temperature: reference.skew_kl(s, t, 0.1, temperature),
  ),
  'interpolated': (
    functools.partial(losses.interpolated_target_loss, progress=0.4),
    lambda s, t, temperature: reference.interpolated_target(
      s, t, 0.4, temperature
    ),
  ),
  'adaptive': (
    losses.adaptive_kl_loss,
    lambda s, t, temperature: reference.adaptive_kl(s, t, 0.5, temperature),
  ),
  'adaptive wide': (
    functools.partial(losses.adaptive_kl_loss, head_share=0.9),
    lambda s, t, temperature: reference.adaptive_kl(s, t, 0.9, temperature),
  ),
} | {
  f'alpha beta {a} {b}': (
    functools.partial(_alpha_beta, alpha=a, beta=b),
    functools.partial(
      lambda s, t, temperature, a, b: reference.alpha_beta(
        s, t, a, b, temperature
      ),
      a=a,
      b=b,
    ),
  )
  for a, b in (
    (0.2, 0.7),
    (0.8, 0.3),
    (0.5, 0.0),
    (0.0, 0.5),
    (0.0, 0.0),
    (0.5, -0.5),
    (-0.3, 0.9),
    (-0.5, -0.2),
    (2.0, 1.0),
  )
}
# No gradient flows through a part of these, by definition.
_WHOLE = [x for x in BOTH if not x.startswith(('interpolated', 'adaptive'))]


def _gradient(loss, argnums=0):
  return jax.grad(lambda *x: loss(*x).sum(), argnums)


@pytest.mark.parametrize('temperature', [1.0, 3.0])
@pytest.mark.parametrize('name', BOTH)
def test_values_are_those_of_the_loops(name, temperature):
  loss, loops = BOTH[name]
  with jax.enable_x64(True):
    values = loss(STUDENT, TEACHER, temperature=temperature)
  expected = loops(STUDENT, TEACHER, temperature)
  assert values.dtype == jnp.float64
  np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
  ('alpha', 'beta', 'by_hand'),
  [
    (0.5, 0.0, 0.4763),
    (0.0, 0.5, 0.4763),
    (0.5, -0.5, 0.8544),
    (1.0, 0.0, 0.3 * np.log(2.5)),
    (0.0, 1.0, 0.3 * np.log(2.5)),
    (0.0, 0.0, np.log(2.5) ** 2),
    (0.5, 0.5, 4 * (np.sqrt(0.5) - np.sqrt(0.2)) ** 2),
  ],
)
def test_alpha_beta_by_hand_and_smooth_there(alpha, beta, by_hand):
  loss = functools.partial(_alpha_beta, Q, P)
  with jax.enable_x64(True):
    value = np.asarray(loss(alpha=alpha, beta=beta))
    near = loss(alpha=alpha + 1e-9, beta=beta - 2e-9)
  np.testing.assert_allclose(value, [by_hand], rtol=1e-4)
  np.testing.assert_allclose(near, value, rtol=1e-7)


@pytest.mark.parametrize(
  ('alpha', 'beta'),
  [(0.2, 0.7), (0.5, 0.0), (0.0, 0.5), (0.5, -0.5), (0.0, 0.0), (1e-9, 0.5)],
)
def test_alpha_beta_derivatives_at_its_limits(alpha, beta):
  with jax.enable_x64(True):
    check_grads(
      jax.jit(lambda s, t, a, b: _alpha_beta(s, t, alpha=a, beta=b)),
      (jnp.array(Q), jnp.array(P), jnp.float64(alpha), jnp.float64(beta)),
      order=2,
      modes=['rev'],
      rtol=1e-5,
      atol=1e-5,
    )
  slopes = jax.grad(
    lambda a, b: _alpha_beta(jnp.float32(Q), jnp.float32(P), alpha=a, beta=b)[
      0
    ],
    (0, 1),
  )(alpha, beta)
  assert np.isfinite(slopes).all()


def test_alpha_and_beta_may_be_of_each_example_and_of_either_sign():
  alpha = np.float32([0.2, 0.0, 0.5, 0.5, 0.0, -0.3])
  beta = np.float32([0.7, 0.5, 0.0, -0.5, 0.0, 0.9])
  s, t = np.float32(STUDENT), np.float32(TEACHER)
  together = jax.jit(lambda a, b: _alpha_beta(s, t, alpha=a, beta=b))(
    alpha, beta[:, None]
  )
  apart = [
    reference.alpha_beta(s[i : i + 1], t[i : i + 1], a, b, 1.0)[0]
    for i, (a, b) in enumerate(
      zip(alpha.astype(float), beta.astype(float), strict=True)
    )
  ]
  np.testing.assert_allclose(together, apart, rtol=1e-5)
  with pytest.raises(losses.RefusedError, match='alpha must be finite'):
    _alpha_beta(s, t, alpha=float('inf'))


def test_adaptive_temperature_may_be_of_each_example():
  s, t = np.float32(STUDENT), np.float32(TEACHER)
  temperature = np.linspace(0.5, 3.0, 6, dtype=np.float32)
  together = jax.jit(lambda x: losses.adaptive_kl_loss(s, t, temperature=x))(
    temperature
  )
  apart = [
    reference.adaptive_kl(s[i : i + 1], t[i : i + 1], 0.5, x)[0]
    for i, x in enumerate(temperature)
  ]
  np.testing.assert_allclose(together, apart, rtol=1e-5)


def test_ends_of_the_skew_and_its_derivative_there():
  with jax.enable_x64(True):
    for skewed, end in (
      (losses.skew_kl_loss, losses.forward_kl_loss),
      (losses.skew_reverse_kl_loss, losses.reverse_kl_loss),
    ):
      np.testing.assert_allclose(
        skewed(STUDENT, TEACHER, skew=0.0), end(STUDENT, TEACHER), rtol=1e-12
      )
    slope = jax.grad(lambda a: losses.skew_kl_loss(Q, P, skew=a)[0])(0.0)
    almost = losses.skew_kl_loss(Q, P, skew=1 - 1e-6)[0] / 1e-12
  chi_squared = np.sum(np.exp(2 * P - Q)) - 1
  assert slope == pytest.approx(-chi_squared, rel=1e-12)
  # KL(p || p + e (q - p)) is e**2 / 2 times the sum of (q - p)**2 / p.
  assert almost == pytest.approx((np.sum(np.exp(2 * Q - P)) - 1) / 2, rel=1e-5)
  with pytest.raises(losses.RefusedError, match='0 or above and below 1'):
    losses.skew_kl_loss(Q, P, skew=1.0)


@pytest.mark.parametrize('name', _WHOLE)
def test_gradients_are_derivatives(name):
  with jax.enable_x64(True):
    check_grads(
      jax.jit(BOTH[name][0]),
      (jnp.array(STUDENT), jnp.array(TEACHER)),
      order=1,
      modes=['rev'],
      rtol=1e-6,
      atol=1e-6,
    )


@pytest.mark.parametrize('name', BOTH)
def test_second_derivative_at_agreement(name):
  loss, _ = BOTH[name]
  step = 1e-4 * _RNG.normal(size=TEACHER.shape)
  with jax.enable_x64(True):
    value = np.asarray(loss(TEACHER + step, TEACHER))
    slope = jax.grad(lambda s: loss(s, TEACHER).sum())
    curved = np.asarray(jax.jvp(slope, (TEACHER,), (step,))[1])
  # The target follows the student, who is then only a part as far from it.
  share = 0.4 if name == 'interpolated' else 1
  np.testing.assert_allclose(
    share**2 * (curved * step).sum(axis=1) / 2, value, rtol=1e-3
  )


def test_the_students_part_of_an_interpolated_target_is_fixed():
  loss = functools.partial(
    losses.interpolated_target_loss, progress=0.4, temperature=2.0
  )
  with jax.enable_x64(True):
    slopes = _gradient(loss, (0, 1))(STUDENT, TEACHER)
  step = 1e-6 * _RNG.normal(size=STUDENT.shape)
  for slope, moved in zip(
    slopes,
    (
      lambda by: (STUDENT + by, TEACHER, 0.4, 2.0, STUDENT),
      lambda by: (STUDENT, TEACHER + by, 0.4, 2.0, STUDENT),
    ),
    strict=True,
  ):
    ends = [reference.interpolated_target(*moved(x)) for x in (step, -step)]
    np.testing.assert_allclose(
      np.vdot(slope, step), (ends[0] - ends[1]).sum() / 2, rtol=1e-6
    )


def test_adaptive_weights_are_constants_for_the_gradient():
  with jax.enable_x64(True):
    slope = _gradient(losses.adaptive_kl_loss)(STUDENT, TEACHER)
    of_forward, of_reverse = (
      np.asarray(_gradient(loss)(STUDENT, TEACHER))
      for loss in (losses.forward_kl_loss, losses.reverse_kl_loss)
    )
  weights = np.array(
    [
      reference.adaptive_weights(s, t, 0.5, 1.0)
      for s, t in zip(STUDENT, TEACHER, strict=True)
    ]
  )
  expected = weights[:, :1] * of_forward + weights[:, 1:] * of_reverse
  np.testing.assert_allclose(slope, expected, rtol=1e-10)


@pytest.mark.parametrize(
  ('share', 'end'),
  [(0.0, losses.reverse_kl_loss), (1.0, losses.forward_kl_loss)],
)
def test_ends_of_the_adaptive_divergence(share, end):
  s, t = np.float32(STUDENT), np.float32(TEACHER)
  np.testing.assert_allclose(
    losses.adaptive_kl_loss(s, t, head_share=share), end(s, t), rtol=1e-6
  )


def test_classes_that_are_as_likely_are_in_the_head_together():
  teacher = np.float32([[1.0, 0.0, 1.0, 0.0, 0.0]])
  student = np.float32([[0.3, 1.0, -0.5, 0.2, 0.0]])
  order = [2, 1, 0, 4, 3]
  np.testing.assert_allclose(
    losses.adaptive_kl_loss(student, teacher, head_share=0.2),
    losses.adaptive_kl_loss(
      student[:, order], teacher[:, order], head_share=0.2
    ),
    rtol=1e-6,
  )


@pytest.mark.parametrize('name', BOTH)
def test_masked_classes_are_as_if_they_were_not_there(name):
  loss = BOTH[name][0]
  both = np.float32(STUDENT), np.float32(TEACHER)
  keep = np.array([0, 1, 3])
  run = jax.jit(lambda s, t: (loss(s, t), _gradient(loss, (0, 1))(s, t)))
  value, slopes = run(*(x[:, keep] for x in both))
  masked = both[0].copy(), both[1].copy()
  masked[0][:, 2] = -np.inf
  masked[1][:, 4] = -1e9
  found, found_slopes = run(*masked)
  np.testing.assert_allclose(found, value, rtol=1e-5)
  for actual, expected in zip(found_slopes, slopes, strict=True):
    np.testing.assert_array_equal(actual[:, [2, 4]], 0)
    np.testing.assert_allclose(actual[:, keep], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', BOTH)
def test_agreement_is_zero_without_gradient_and_divergence_shows(name):
  loss = BOTH[name][0]
  same = np.float32([[1e4, 0.3, -1e4, 0.0], [0.5, 0.3, 0.2, 0.1]])
  slopes = _gradient(loss, (0, 1))(same, same)
  np.testing.assert_array_equal(loss(same, same), 0)
  np.testing.assert_array_equal(slopes, 0)
  diverged = same.copy()
  diverged[1, 2] = np.nan
  np.testing.assert_array_equal(np.isnan(loss(diverged, same)), [False, True])


@pytest.mark.parametrize('name', BOTH)
def test_float32_is_right_near_agreement_and_at_any_temperature(name):
  loss = jax.jit(BOTH[name][0])
  for near, temperature in (
    *((x, 1.0) for x in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)),
    *((1.0, x) for x in (0.5, 1e2, 1e4)),
  ):
    t = TEACHER.astype(np.float32)
    s = (TEACHER + near * (STUDENT - TEACHER)).astype(np.float32)
    found = loss(s, t, temperature=temperature)
    with jax.enable_x64(True):
      right = loss(np.float64(s), np.float64(t), temperature=temperature)
    assert (np.asarray(found) >= 0).all()
    np.testing.assert_allclose(found, right, rtol=1e-5)


_TOKENS, _MASK = 6, np.array([1, 1, 0, 1, 0, 1])
_LINEAR = {
  'linear_skew_kl_loss': {'skew': 0.3},
  'linear_skew_reverse_kl_loss': {},
  'linear_alpha_beta_loss': {'alpha': 0.5, 'beta': 0.0},
  'linear_interpolated_target_loss': {'progress': 0.4},
  'linear_adaptive_kl_loss': {'head_share': 0.7},
  'linear_sampled_soft_target_loss': {},
}


@pytest.mark.parametrize('chunk', [2, 64])
@pytest.mark.parametrize('name', _LINEAR)
def test_linear_forms_are_means_of_the_whole(name, chunk):
  rng = np.random.default_rng(1)
  sides = [
    (rng.normal(size=(_TOKENS, dim)), rng.normal(size=(dim, 5)))
    for dim in (4, 3)
  ]
  whole = getattr(losses, name.removeprefix('linear_'))
  given = dict(_LINEAR[name], temperature=2.0, mask=_MASK)
  sampled = 'sampled' in name

  def usual(*arrays):
    targets = (INDICES, WEIGHTS) if sampled else (arrays[2] @ arrays[3],)
    return whole(arrays[0] @ arrays[1], *targets, **given).sum() / 4

  def chunked(*arrays):
    targets = (INDICES, WEIGHTS) if sampled else arrays[2:]
    loss = getattr(losses, name)
    return loss(*arrays[:2], *targets, chunk=chunk, **given)

  arrays = [*sides[0], *(() if sampled else sides[1])]
  argnums = tuple(range(len(arrays)))
  with jax.enable_x64(True):
    found, slopes = jax.value_and_grad(chunked, argnums)(*arrays)
    expected, right = jax.value_and_grad(usual, argnums)(*arrays)
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  for actual, wanted in zip(slopes, right, strict=True):
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12)
