"""Losses on tokens and self-attention against loops, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import feature_tokens as reference

from kdjax.losses import RefusedError
from kdjax.losses.feature import attention_matrices, vitkd
from kdjax.losses.feature import attention_relations as relations

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize('mask', [None, MASK])
def test_attention_distribution(check, mask):
  s, t = normal(3, 2, 4, 4), normal(3, 2, 4, 4, seed=1)
  full = np.ones((3, 4)) if mask is None else mask
  expected = reference.attention_distribution(s, t, full)
  check(relations.attention_distribution_loss, expected, s, t, mask=mask)


def test_attention_distribution_under_a_causal_mask(check):
  s, t = normal(1, 2, 4, 4), normal(1, 2, 4, 4, seed=1)
  future = np.triu(np.ones((4, 4), bool), 1)
  s[..., future] = -np.inf
  t[..., future] = -np.inf
  total = 0.0
  for head in range(2):
    for i in range(4):
      total += reference.divergence(
        list(t[0, head, i, : i + 1]), list(s[0, head, i, : i + 1])
      )
  check(relations.attention_distribution_loss, [total / 8], s, t)
  gradient = jax.jit(
    jax.grad(lambda s, t: jnp.sum(relations.attention_distribution_loss(s, t)))
  )(s.astype(np.float32), t.astype(np.float32))
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(gradient[..., future], 0)


@pytest.mark.parametrize(('heads', 'mask'), [(2, None), (1, MASK), (4, MASK)])
def test_relations_of_any_number_of_heads(check, heads, mask):
  s, t = normal(3, 4, 4), normal(3, 4, 8, seed=1)
  full = np.ones((3, 4)) if mask is None else mask
  expected = reference.relation(s, t, heads, full)
  check(
    relations.self_attention_relation_loss,
    expected,
    s,
    t,
    relation_heads=heads,
    mask=mask,
  )


@pytest.mark.parametrize('mask', [None, MASK])
def test_minilm(check, mask):
  s = tuple(normal(3, 4, 4, seed=i) for i in range(3))
  t = tuple(normal(3, 4, 6, seed=i) for i in range(3, 6))
  full = np.ones((3, 4)) if mask is None else mask
  expected = reference.minilm(s, t, 2, full)
  check(relations.minilm_loss, expected, s, t, heads=2, mask=mask)


def test_minilmv2(check):
  s = tuple(normal(2, 4, 4, seed=i) for i in range(3))
  t = tuple(normal(2, 4, 8, seed=i) for i in range(3, 6))
  weights = (1.0, 0.5, 2.0)
  expected = sum(
    w * reference.relation(x, y, 4, np.ones((2, 4)))
    for w, x, y in zip(weights, s, t, strict=True)
  )
  check(
    relations.minilmv2_loss,
    expected,
    s,
    t,
    relation_heads=4,
    weights=weights,
  )


@pytest.mark.parametrize('mask', [None, MASK])
def test_attention_matrix(check, mask):
  s, t = normal(3, 2, 4, 4), normal(3, 2, 4, 4, seed=1)
  full = np.ones((3, 4)) if mask is None else mask
  expected = reference.attention_matrix(s, t, full)
  check(attention_matrices.attention_matrix_loss, expected, s, t, mask=mask)


def test_attention_matrix_leaves_out_what_the_teacher_cannot_see():
  s = jnp.zeros((1, 1, 2, 2)).at[0, 0, 0, 1].set(-jnp.inf)
  t = jnp.array([[[[1.0, -jnp.inf], [2.0, 3.0]]]])
  value, gradient = jax.jit(
    jax.value_and_grad(
      lambda s: jnp.sum(attention_matrices.attention_matrix_loss(s, t))
    )
  )(s)
  np.testing.assert_allclose(value, (1 + 4 + 9) / 3, rtol=1e-6)
  assert np.isfinite(gradient).all()


def loss_of_scores(loss):
  return lambda s, t, mask: loss(s[:, None], t[:, None], mask=mask)


MASKED = {
  'distribution': loss_of_scores(relations.attention_distribution_loss),
  'matrix': loss_of_scores(attention_matrices.attention_matrix_loss),
  'relation': lambda s, t, mask: relations.self_attention_relation_loss(
    s, t, relation_heads=2, mask=mask
  ),
  'minilm': lambda s, t, mask: relations.minilm_loss(
    (s, s, s), (t, t, t), heads=1, mask=mask
  ),
}


@functools.cache
def masked(name):
  def total(s, t, mask):
    return jnp.sum(MASKED[name](s, t, mask))

  return jax.jit(jax.value_and_grad(total))


@pytest.mark.parametrize('name', MASKED)
def test_padding_is_as_if_absent(name):
  s, t = normal(2, 4, 4), normal(2, 4, 4, seed=1)
  wide = ((0, 0), (0, 2), (0, 2 if name in ('distribution', 'matrix') else 0))
  s, t, padded_s, padded_t = (
    x.astype(np.float32)
    for x in (s, t, *(np.pad(x, wide, constant_values=np.nan) for x in (s, t)))
  )
  mask = np.array([[1, 1, 1, 1, 0, 0]] * 2)
  value, gradient = masked(name)(s, t, None)
  padded, padded_gradient = masked(name)(padded_s, padded_t, mask)
  np.testing.assert_allclose(padded, value, rtol=1e-5)
  inside = padded_gradient[:, :4, :4]
  np.testing.assert_allclose(inside, gradient, rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(padded_gradient[:, 4:], 0)
  nothing, no_gradient = masked(name)(padded_s * np.nan, padded_t, 0 * mask)
  assert nothing == 0
  np.testing.assert_array_equal(no_gradient, 0)


def test_relations_are_invariant_to_rotation(check):
  s, t = normal(2, 4, 4), normal(2, 4, 4, seed=1)
  rotation, _ = np.linalg.qr(normal(4, 4, seed=2))
  check(
    relations.self_attention_relation_loss,
    reference.relation(s, t, 1, np.ones((2, 4))),
    s @ rotation,
    t,
    relation_heads=1,
  )


def test_vitkd_mimicking(check):
  s, t = normal(2, 2, 3, 4), normal(2, 2, 3, 4, seed=1)
  expected = ((s - t) ** 2).sum(axis=(1, 2, 3))
  check(vitkd.vitkd_mimicking_loss, expected, s, t)


@pytest.mark.parametrize('ratio', [0.5, 1.0])
def test_vitkd_generation(check, ratio):
  s, t = normal(3, 4, 2), normal(3, 4, 2, seed=1)
  expected = reference.generation(s, t, MASK, ratio)
  check(
    lambda s, t: vitkd.vitkd_generation_loss(s, t, MASK, ratio=ratio),
    expected,
    s,
    t,
  )


@pytest.mark.parametrize(('tokens', 'kept'), [(16, 8), (9, 4)])
def test_random_hidden_tokens(tokens, kept):
  hidden = vitkd.random_hidden_tokens(jax.random.key(0), (20, tokens))
  assert hidden.shape == (20, tokens)
  assert hidden.dtype == bool
  np.testing.assert_array_equal(np.sum(~hidden, axis=1), kept)
  if tokens == 16:
    assert len({tuple(row) for row in np.asarray(hidden).tolist()}) > 15
    np.testing.assert_allclose(np.mean(hidden, axis=0), 0.5, atol=0.4)


def test_shapes_that_do_not_fit():
  scores = jnp.zeros((2, 2, 4, 4))
  features = jnp.zeros((2, 4, 6))
  with pytest.raises(RefusedError):
    relations.attention_distribution_loss(scores, scores[:, :1])
  with pytest.raises(RefusedError):
    relations.attention_distribution_loss(scores[:, :, :3], scores[:, :, :3])
  with pytest.raises(RefusedError):
    relations.attention_distribution_loss(scores, scores, mask=jnp.ones((2, 3)))
  with pytest.raises(RefusedError):
    relations.self_attention_relation_loss(features, features, relation_heads=4)
  with pytest.raises(RefusedError):
    relations.self_attention_relation_loss(
      features, features[:, :3], relation_heads=2
    )
  with pytest.raises(RefusedError):
    attention_matrices.attention_matrix_loss(scores, scores[:, :1])
  with pytest.raises(RefusedError):
    vitkd.vitkd_generation_loss(features, features, jnp.ones((2, 3)))
