"""Losses of large vocabularies in other programs: meshes, remat, scan."""

import functools
import re

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from kdjax import losses

_TOKENS, _DIM, _VOCABULARY = 128, 16, 96


def _problem(masked):
  rng = np.random.default_rng(0)
  shapes = (
    (_TOKENS, _DIM),
    (_DIM, _VOCABULARY),
    (_TOKENS, 12),
    (12, _VOCABULARY),
  )
  arrays = [rng.normal(size=x).astype(np.float32) for x in shapes]
  mask = rng.random(_TOKENS) < 0.5 if masked else None
  return (*arrays, mask)


def _step(h, w, g, v, mask):
  return losses.linear_soft_target_loss(
    h, w, g, v, mask=mask, temperature=2.0, chunk=32
  )


_slopes = jax.jit(jax.value_and_grad(_step, argnums=(0, 1)))


@pytest.mark.parametrize('kind', [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize('masked', [False, True])
def test_tokens_are_split_over_the_devices(kind, masked):
  arguments = _problem(masked)
  one = _slopes.lower(*arguments).compile()
  mesh = jax.make_mesh((8,), ('batch',), axis_types=(kind,))
  specs = (P('batch'), P(), P('batch'), P(), P('batch'))
  placed = [
    None if x is None else jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(arguments, specs, strict=True)
  ]
  eight = _slopes.lower(*placed).compile()
  share = eight.cost_analysis()['flops'] / one.cost_analysis()['flops']
  assert share < 1.2 / 8
  # Nothing of a token travels, only sums.
  assert not re.search(
    r' (all-gather|all-to-all|collective-permute)\(', eight.as_text()
  )
  for actual, expected in zip(
    jax.tree.leaves(eight(*placed)),
    jax.tree.leaves(one(*arguments)),
    strict=True,
  ):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_under_remat_of_nnx():
  h, w, g, v, mask = _problem(True)

  def value(h, w):
    return _step(h, w, g, v, mask)

  expected = jax.jit(jax.grad(value, argnums=(0, 1)))(h, w)
  result = jax.jit(jax.grad(nnx.remat(value), argnums=(0, 1)))(h, w)
  for a, b in zip(result, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_scan_over_microbatches():
  h, w, g, v, _ = _problem(False)
  loss = functools.partial(losses.linear_reverse_kl_loss, chunk=16)

  def accumulated(w):
    def add(total, part):
      return total + loss(part[0], w, part[1], v) / 4, None

    parts = h.reshape(4, -1, _DIM), g.reshape(4, -1, 12)
    return jax.lax.scan(add, np.float32(0), parts)[0]

  value, slope = jax.jit(jax.value_and_grad(accumulated))(w)
  right, expected = jax.jit(jax.value_and_grad(lambda w: loss(h, w, g, v)))(w)
  np.testing.assert_allclose(value, right, rtol=1e-5)
  np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('soft_cap', [None, 5.0])
def test_a_head_may_have_bias_scale_and_soft_cap(soft_cap):
  h, w, g, v, _ = _problem(False)
  rng = np.random.default_rng(1)
  bias = rng.normal(size=_VOCABULARY).astype(np.float32)
  # Padding of the vocabulary, whether or not it is cut.
  bias[-3:] = -np.inf

  def chunked(w, bias, scale):
    return losses.linear_soft_target_loss(
      h,
      losses.LinearHead(w, bias, scale, soft_cap),
      g,
      losses.LinearHead(v, soft_cap=30.0),
      vocabulary=_VOCABULARY if soft_cap is None else _VOCABULARY - 3,
      chunk=32,
    )

  def whole(w, bias, scale):
    student = scale * (h @ w + bias[None, :])[:, :-3]
    teacher = 30 * jax.numpy.tanh((g @ v)[:, :-3] / 30)
    if soft_cap is not None:
      student = soft_cap * jax.numpy.tanh(student / soft_cap)
    return losses.soft_target_loss(student, teacher).mean()

  arguments = w, bias, np.float32(0.7)
  both = [
    jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(*arguments)
    for f in (chunked, whole)
  ]
  for a, b in zip(*map(jax.tree.leaves, both), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_vocabularies_of_other_sizes_are_cut_on_request():
  h, w, g, v, _ = _problem(False)
  with pytest.raises(
    losses.RefusedError, match=r'got 96 and 90; vocabulary=90'
  ):
    losses.linear_soft_target_loss(h, w, g, v[:, :90])
  cut = losses.linear_soft_target_loss(h, w, g, v[:, :90], vocabulary=90)
  expected = losses.linear_soft_target_loss(h, w[:, :90], g, v[:, :90])
  np.testing.assert_allclose(cut, expected, rtol=1e-6)
  with pytest.raises(losses.RefusedError, match='from 1 to the 90 classes'):
    losses.linear_soft_target_loss(h, w, g, v[:, :90], vocabulary=96)
