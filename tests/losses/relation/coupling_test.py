"""What all relation losses promise: masks, precision, gradients, symmetries."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdjax.losses import RefusedError
from kdjax.losses.relation import cka, contrastive, probabilistic, similarity
from kdjax.losses.relation import correlation_congruence as cc
from kdjax.losses.relation import instance_relation_graph as irg

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


class Case(NamedTuple):
  """A loss of `[batch, dim]` embeddings and what leaves it unchanged.

  `rotation` is 'each' where student and teacher may turn separately, 'both'
  where only together. Scale and translation are of the student alone.
  """

  loss: callable
  zero: bool = True
  permutation: bool = True
  rotation: str = ''
  scale: bool = False
  translation: bool = False


def _two_layers(x):
  return x, x[:, -1:]


def _transformation(student, teacher, *, mask=None):
  return irg.instance_transformation_loss(
    _two_layers(student), _two_layers(teacher), mask=mask
  )


_raw_kernel = functools.partial(
  cc.kernel_correlation_congruence_loss, normalise=False, squared=False
)
_free = {'rotation': 'each', 'scale': True, 'translation': True}
CASES = {
  'similarity': Case(
    similarity.similarity_preserving_loss, rotation='each', scale=True
  ),
  'congruence': Case(cc.correlation_congruence_loss, permutation=False),
  'kernel': Case(
    cc.kernel_correlation_congruence_loss, rotation='each', scale=True
  ),
  'raw_kernel': Case(_raw_kernel, rotation='each'),
  'probabilistic': Case(
    probabilistic.probabilistic_transfer_loss, rotation='each', scale=True
  ),
  'contrastive': Case(
    contrastive.in_batch_contrastive_loss,
    zero=False,
    rotation='both',
    scale=True,
  ),
  'linear_cka': Case(cka.linear_cka_loss, **_free),
  'rbf_cka': Case(cka.rbf_cka_loss, **_free),
  'vertex': Case(irg.instance_vertex_loss, rotation='both'),
  'edge': Case(irg.instance_edge_loss, **_free),
  'transformation': Case(_transformation),
}
NAMES = tuple(CASES)


@functools.cache
def with_gradient(name):
  loss = CASES[name].loss

  def value(student, teacher, mask):
    return loss(student, teacher, mask=mask)

  return jax.jit(jax.value_and_grad(value, argnums=(0, 1)))


@functools.cache
def value_only(name):
  return jax.jit(CASES[name].loss)


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


def in_float64(name, student, teacher):
  with jax.enable_x64(True):
    student, teacher = jnp.float64(student), jnp.float64(teacher)
    return float(value_only(name)(student, teacher))


few = settings(max_examples=8, deadline=None)
seeds = st.integers(0, 2**16)


@pytest.mark.parametrize('name', NAMES)
def test_padding_is_as_if_absent(name):
  real = [0, 2, 3, 5]
  student, teacher = np.float32(normal(0, 6, 3)), np.float32(normal(1, 6, 3))
  mask = np.isin(np.arange(6), real)
  expected, gradient = with_gradient(name)(
    student[real], teacher[real], jnp.ones(len(real))
  )
  for filling in (np.nan, 0.0, 7.0):
    student[~mask] = teacher[~mask] = filling
    value, padded = with_gradient(name)(
      student, teacher, mask.astype(np.float32)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    for got, wanted in zip(padded, gradient, strict=True):
      scale = np.abs(wanted).max() + 1e-6
      np.testing.assert_allclose(got[mask], wanted, rtol=0, atol=1e-4 * scale)
      np.testing.assert_array_equal(got[~mask], 0)
  student[:] = np.nan
  value, padded = with_gradient(name)(
    student, teacher, np.zeros_like(student[:, 0])
  )
  assert value == 0
  np.testing.assert_array_equal(padded[0], 0)


def _adversarial():
  x, y = np.float32(normal(2, 4, 3)), np.float32(normal(3, 4, 3))
  twins, zero, same = x.copy(), x.copy(), np.repeat(x[:1], 4, axis=0)
  twins[1] = twins[0]
  zero[2] = 0
  huge = np.float32(1e4) * np.sign(x)
  return {
    'huge': (huge, y),
    'huge_both': (huge, -huge),
    'twins': (twins, y),
    'twins_teacher': (x, twins),
    'zero_row': (zero, y),
    'all_zero': (np.zeros_like(x), y),
    'all_zero_teacher': (x, np.zeros_like(x)),
    'all_same': (same, y),
    'all_same_teacher': (x, same),
    'equal': (x, x),
    'offset': (x + 100, y - 100),
    'tiny': (x * np.float32(1e-20), y),
    'one_class': (x[:, :1], y[:, :1]),
    'one_class_huge': (huge[:, :1], y[:, :1]),
    'one_example': (x[:1], y[:1]),
  }


@pytest.mark.parametrize('name', NAMES)
def test_float32_is_as_float64_on_adversarial_inputs(name):
  for what, (student, teacher) in _adversarial().items():
    mask = np.ones(len(student), np.float32)
    value, gradient = with_gradient(name)(student, teacher, mask)
    expected = in_float64(name, student, teacher)
    np.testing.assert_allclose(
      value, expected, rtol=1e-4, atol=1e-6, err_msg=what
    )
    for part in gradient:
      assert np.isfinite(part).all(), what
    if what == 'one_example' and name not in ('vertex', 'raw_kernel'):
      np.testing.assert_allclose(value, 0, atol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_bfloat16_accumulates_in_float32(name):
  half = [jnp.asarray(normal(seed, 4, 3), jnp.bfloat16) for seed in (6, 7)]
  value = value_only(name)(*half)
  single = (np.float32(x) for x in half)
  expected, _ = with_gradient(name)(*single, np.ones(4, np.float32))
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_gradient_is_the_derivative(name):
  x, y, v, w = np.float32(normal(8, 4, 4, 3))
  _, gradient = with_gradient(name)(x, y, np.ones(4, np.float32))
  x, y, step = np.float64(x), np.float64(y), 1e-5
  after = in_float64(name, x + step * v, y + step * w)
  before = in_float64(name, x - step * v, y - step * w)
  expected = np.vdot(gradient[0], v) + np.vdot(gradient[1], w)
  slope = (after - before) / (2 * step)
  np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', [n for n in NAMES if CASES[n].zero])
@few
@given(seed=seeds)
def test_zero_at_the_teacher_and_nowhere_negative(name, seed):
  x, y = normal(seed, 4, 3), normal(seed + 1, 4, 3)
  np.testing.assert_allclose(in_float64(name, x, x), 0, atol=1e-12)
  assert in_float64(name, y, x) > 0


@pytest.mark.parametrize('name', [n for n in NAMES if CASES[n].permutation])
@few
@given(seed=seeds)
def test_order_of_the_batch_is_of_no_matter(name, seed):
  x, y = normal(seed, 4, 3), normal(seed + 1, 4, 3)
  order = np.random.default_rng(seed).permutation(4)
  np.testing.assert_allclose(
    in_float64(name, x[order], y[order]), in_float64(name, x, y), rtol=1e-9
  )


@pytest.mark.parametrize('name', [n for n in NAMES if CASES[n].rotation])
@few
@given(seed=seeds)
def test_rotation(name, seed):
  x, y = normal(seed, 4, 3), normal(seed + 1, 4, 3)
  turn, _ = np.linalg.qr(normal(seed + 2, 3, 3))
  other = turn if CASES[name].rotation == 'both' else np.eye(3)
  np.testing.assert_allclose(
    in_float64(name, x @ turn, y @ other), in_float64(name, x, y), rtol=1e-9
  )


@pytest.mark.parametrize(
  'name', [n for n in NAMES if CASES[n].scale or CASES[n].translation]
)
@few
@given(seed=seeds, factor=st.floats(0.1, 1e3))
def test_scale_and_translation(name, seed, factor):
  x, y = normal(seed, 4, 3), normal(seed + 1, 4, 3)
  shift = CASES[name].translation * normal(seed + 2, 1, 3)
  # The epsilon that is added to lengths shows.
  rtol = 1e-4 if name == 'probabilistic' else 1e-9
  np.testing.assert_allclose(
    in_float64(name, factor * x + shift, y), in_float64(name, x, y), rtol=rtol
  )


@pytest.mark.parametrize('name', NAMES)
def test_shapes_and_types_are_checked(name):
  x = jnp.ones((4, 3))
  with pytest.raises(RefusedError):
    CASES[name].loss(x, jnp.ones((5, 3)))
  with pytest.raises(RefusedError):
    CASES[name].loss(x, jnp.ones((4, 3), int))
  with pytest.raises(RefusedError):
    CASES[name].loss(x, x, mask=jnp.ones(3))
